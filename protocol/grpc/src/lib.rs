//! The gRPC door of coreflake: what the build makes from `idgenerator.proto`, which stands beside
//! this crate and is all a client in another language needs.
//!
//! The server implements [`id_generator_server::IdGenerator`]; the load generator calls
//! [`id_generator_client::IdGeneratorClient`].
#![forbid(unsafe_code)]
// The code below is generated.
#![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::pedantic, clippy::all)]

/// The compiled `idgenerator.proto`, a `google.protobuf.FileDescriptorSet`, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/idgenerator.bin"));

/// The name of the service in paths and in health checks.
pub const SERVICE_NAME: &str = "IDGenerator";

include!(concat!(env!("OUT_DIR"), "/_.rs"));
