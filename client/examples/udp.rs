//! Prints ten IDs, one per line, each asked for with a datagram of its own, from the server given
//! as the first argument (`A:P` or `udp://A:P`; default `127.0.0.1:4096`).

use std::time::Duration;

use coreflake_client::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4096".into());
    let address = address.trim_start_matches("udp://");
    let client = Client::builder()
        .endpoint(format!("udp://{address}"))
        .retry_interval(Duration::from_millis(20))
        .build()?;

    for _ in 0..10 {
        println!("{}", client.next().await?);
    }
    Ok(())
}
