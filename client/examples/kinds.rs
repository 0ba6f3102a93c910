//! Prints IDs of some kinds, what is in them, and the range of the same minute, from the server
//! given as the first argument (default `tcp://127.0.0.1:4096`).

use coreflake_client::{AnyId, Client, Kind};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:4096".into());
    let client = Client::builder().endpoint(endpoint).build()?;

    let uuid = client.uuid7().await?;
    let ulid = client.ulid().await?;
    let instagram = client.instagram().await?;
    for id in [AnyId::try_from(uuid)?, ulid.into(), instagram] {
        let parts = client.parse(id).await?;
        println!("{} {id}: made at {} ms by slot {:?}", id.kind(), parts.unix_ms, parts.slot);
    }

    let minute_ms = ulid.unix_ms() / 60_000 * 60_000;
    let range = client.range(Kind::Ulid, minute_ms, minute_ms + 59_999).await?;
    println!("SELECT … WHERE id BETWEEN '{}' AND '{}'", range.min, range.max);
    Ok(())
}
