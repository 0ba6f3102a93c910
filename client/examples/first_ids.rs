//! Prints one ID and then a batch of ten, one per line, from the server given as the first argument
//! (default `tcp://127.0.0.1:4096`).

use coreflake_client::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:4096".into());
    let client = Client::builder().endpoint(endpoint).build()?;

    println!("{}", client.next().await?);
    for id in client.next_batch(10).await? {
        println!("{id}");
    }
    Ok(())
}
