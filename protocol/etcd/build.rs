//! Makes the messages and the clients from `etcd.proto` and `kv.proto`, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=etcd.proto");
    println!("cargo::rerun-if-changed=kv.proto");
    let descriptors = protox::compile(["etcd.proto"], ["."])?;
    tonic_prost_build::configure()
        .build_server(false)
        // How a connection is made is the caller's affair.
        .build_transport(false)
        // It has a password, and the answer a token: neither is to appear in a log.
        .skip_debug([".etcdserverpb.AuthenticateRequest", ".etcdserverpb.AuthenticateResponse"])
        .compile_fds(descriptors)?;
    Ok(())
}
