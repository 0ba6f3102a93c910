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

#[tokio::test]
async fn a_datagram_asks_for_as_many_as_fit_and_32_are_under_way() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let call = start(async move { client.next_batch_of(Kind::Ulid, 32 * 74 + 5).await });
    let mut next = ULID.as_u128();
    for round in [vec![74; 32], vec![5]] {
        let mut datagrams = Vec::new();
        for size in round {
            let datagram = peer.receive().await;
            assert_eq!(datagram.asked, Asked::GenerateOf(Kind::Ulid, size));
            assert!(datagram.size <= 1_200 && (datagram.size - 16) / 16 >= size as usize);
            datagrams.push((datagram, size));
        }
        for (datagram, size) in datagrams {
            let ids: Vec<_> = (next..next + u128::from(size)).collect();
            peer.send(&generated_wide(datagram.nonce, &ids), &datagram).await;
            next += u128::from(size);
        }
    }
    assert_eq!(call.await.unwrap().unwrap().len(), 32 * 74 + 5);
}

#[tokio::test]
async fn what_a_datagram_brings_little_of_is_asked_for_with_many() {
    let peer = UdpPeer::bind().await;
    let client = peer.patient_client();
    let call = start(async move { client.next_batch(4_096).await });
    // One of 4,096 brings 40; 32 of 80 then bring 80 each, and the others, of 160, the rest.
    let rounds = [vec![4_096], vec![80; 32], [vec![160; 9], vec![56]].concat()];
    let mut first = 0;
    for (round, brought) in rounds.into_iter().zip([40, 80, 160]) {
        let mut datagrams = Vec::new();
        for size in round {
            datagrams.push((peer.receive().await, size));
        }
        for (datagram, size) in datagrams {
            assert_eq!(datagram.asked, Asked::Generate(size));
            peer.ids(&datagram, datagram.nonce, &[(first, size.min(brought))]).await;
            first += 1_000;
        }
    }
    assert_eq!(call.await.unwrap().unwrap().len(), 4_096);
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
