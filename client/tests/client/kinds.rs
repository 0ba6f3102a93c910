//! IDs of every kind.

use coreflake_client::{AnyId, Kind, Namespace, Ulid, Uuid};
use coreflake_protocol::Response;

use crate::peer::{Asked, Peer, encoded, generated_wide, id, info, start};
use crate::udp_peer::UdpPeer;

const UUID1: Uuid = Uuid::from_u128(0xc232_ab00_9414_11ec_b3c8_9f6b_dece_d846);
const UUID7: Uuid = Uuid::from_u128(0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f);
const ULID: Ulid = Ulid::from_u128(0x0156_3e3a_b5d3_d676_4c61_efb9_9302_bd5b);

#[tokio::test]
async fn each_kind_has_a_type() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let server = start(async move {
        let mut connection = peer.accept().await;
        for (kind, bits) in [
            (Kind::Ulid, ULID.as_u128()),
            (Kind::Uuid1, UUID1.as_u128()),
            (Kind::Uuid7, UUID7.as_u128()),
        ] {
            let (request_id, asked) = connection.request().await;
            assert_eq!(asked, Asked::GenerateOf(kind, 1));
            connection.write(&generated_wide(request_id, &[bits])).await;
        }
        let (request_id, asked) = connection.request().await;
        assert_eq!(asked, Asked::GenerateOf(Kind::Instagram, 1));
        connection.ids(request_id, &[(7, 1)]).await;
    });
    assert_eq!(client.ulid().await.unwrap(), ULID);
    assert_eq!(client.uuid1().await.unwrap(), UUID1);
    assert_eq!(client.uuid7().await.unwrap(), UUID7);
    let instagram = client.instagram().await.unwrap();
    assert_eq!((instagram.kind(), instagram.id()), (Kind::Instagram, Some(id(7))));
    server.await.unwrap();
}

#[tokio::test]
async fn a_batch_is_asked_for_in_pieces_and_comes_in_order() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let call = start(async move { client.uuid7s(5_000).await });
    let mut connection = peer.accept().await;
    let mut next = UUID7.as_u128();
    for size in [4_096, 904] {
        let (request_id, asked) = connection.request().await;
        assert_eq!(asked, Asked::GenerateOf(Kind::Uuid7, size));
        let ids: Vec<_> = (next..next + u128::from(size)).collect();
        connection.write(&generated_wide(request_id, &ids)).await;
        next += u128::from(size);
    }
    let ids = call.await.unwrap().unwrap();
    let ids: Vec<_> = ids.into_iter().map(|uuid| AnyId::try_from(uuid).unwrap()).collect();
    let expected = UUID7.as_u128()..UUID7.as_u128() + 5_000;
    assert!(ids.iter().map(|id| id.bits()).eq(expected));
    assert!(ids.is_sorted_by_key(|id| id.rank()));
}

#[tokio::test]
async fn a_reply_of_another_kind_or_with_too_many_ends_the_connection() {
    let ulids = |count: u128| (0..count).map(|number| ULID.as_u128() + number).collect::<Vec<_>>();
    for (kind, ids) in
        [(Kind::Uuid7, ulids(1)), (Kind::Uuid1, vec![UUID7.as_u128()]), (Kind::Ulid, ulids(2))]
    {
        let peer = Peer::bind().await;
        let client = peer.client();
        let call = start(async move { client.next_of(kind).await });
        let mut connection = peer.accept().await;
        let (request_id, _) = connection.request().await;
        connection.write(&generated_wide(request_id, &ids)).await;
        connection.closed().await;
        // It is asked again, on a new connection.
        let mut connection = peer.accept().await;
        let (request_id, asked) = connection.request().await;
        assert_eq!(asked, Asked::GenerateOf(kind, 1));
        let good = match kind {
            Kind::Uuid7 => UUID7.as_u128(),
            Kind::Uuid1 => UUID1.as_u128(),
            _ => ULID.as_u128(),
        };
        connection.write(&generated_wide(request_id, &[good])).await;
        assert_eq!(call.await.unwrap().unwrap(), AnyId::wide(kind, good).unwrap());
    }
}

/// Answers round after round: as many datagrams as it has sizes, each of which asks for its size
/// and gets `brought` at most. Gives back how many IDs went out.
async fn serve_rounds(peer: &UdpPeer, kind: Kind, rounds: Vec<(Vec<u32>, u32)>) -> u32 {
    let mut sent = 0;
    for (round, brought) in rounds {
        let mut datagrams = Vec::new();
        for size in round {
            datagrams.push((peer.receive().await, size));
        }
        for (datagram, size) in datagrams {
            let asked = match kind {
                Kind::Snowflake => Asked::Generate(size),
                _ => Asked::GenerateOf(kind, size),
            };
            assert_eq!(datagram.asked, asked);
            let count = size.min(brought);
            if kind.is_wide() {
                assert!((datagram.size - 16) / 16 >= count as usize);
                let first = ULID.as_u128() + u128::from(sent);
                let ids: Vec<_> = (first..first + u128::from(count)).collect();
                peer.send(&generated_wide(datagram.nonce, &ids), &datagram).await;
            } else {
                peer.ids(&datagram, datagram.nonce, &[(2 * u64::from(sent), count)]).await;
            }
            sent += count;
        }
    }
    sent
}

#[tokio::test]
async fn datagrams_ask_for_as_many_as_fit_and_twice_as_many_are_under_way_each_time() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let rounds = [2, 4, 8, 16, 32, 32].map(|size| (vec![74; size], 74));
    let rounds = rounds.into_iter().chain([(vec![5], 5)]).collect();
    let call = start(async move { client.next_batch_of(Kind::Ulid, 94 * 74 + 5).await });
    assert_eq!(serve_rounds(&peer, Kind::Ulid, rounds).await, 94 * 74 + 5);
    assert_eq!(call.await.unwrap().unwrap().len(), 94 * 74 + 5);
}

/// What a server with short ticks brings at once is what is left of one.
#[tokio::test]
async fn few_datagrams_are_under_way_while_they_bring_less_than_they_ask_for() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let call = start(async move { client.next_batch(20_000).await });
    let rounds = vec![
        (vec![4_096; 2], 4_096),
        (vec![4_096, 4_096, 3_616], 40),
        (vec![4_096, 4_096], 4_096),
        (vec![3_496], 4_096),
    ];
    assert_eq!(serve_rounds(&peer, Kind::Snowflake, rounds).await, 20_000);
    assert_eq!(call.await.unwrap().unwrap().len(), 20_000);
}

#[tokio::test]
async fn a_range_follows_from_what_the_server_says_of_itself() {
    let peer = Peer::bind().await;
    let client = peer.client();
    let bounds = Namespace::DEFAULT.bounds(Kind::Ulid, 1_700_000_000_000, 1_700_000_000_999);
    let call = start(async move {
        let range = client.range(Kind::Ulid, 1_700_000_000_000, 1_700_000_000_999).await;
        (range.unwrap(), client.range(Kind::Uuid1, 0, 1).await.unwrap_err())
    });
    let mut connection = peer.accept().await;
    for _ in 0..2 {
        let (request_id, asked) = connection.request().await;
        assert_eq!(asked, Asked::Info);
        connection.write(&encoded(request_id, Response::Info(info()))).await;
    }
    let (range, error) = call.await.unwrap();
    assert_eq!(Ok(range), bounds);
    assert!(error.to_string().contains("do not sort by their time") && !error.is_retryable());
}
