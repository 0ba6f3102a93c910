//! Kinds, encodings, layouts and stretches of time on the command line.

use coreflake_protocol::{AnyId, Encoding, Kind};
use serde_json::Value;

use crate::common::{Scratch, Server, coreflake, feed, run};

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn generate_prints_ids_of_every_kind_and_parse_reads_them() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    let address = server.tcp.to_string();
    for kind in Kind::ALL {
        for udp in [&[][..], &["--udp"]] {
            let name = kind.name();
            let args = ["generate", "--server", &address, "--kind", name, "--count", "5000"];
            let generated = run(&[&args[..], udp].concat());
            generated.assert_code(0);
            let ids =
                generated.stdout.lines().map(|line| AnyId::read(line, Some(kind), None).unwrap());
            let ranks: Vec<_> = ids.map(AnyId::rank).collect();
            assert!(ranks.len() == 5_000 && ranks.is_sorted_by(|a, b| a < b), "{kind}");
            let named = if kind == Kind::Instagram { &["--kind", "instagram"][..] } else { &[] };
            let parse = feed(coreflake().arg("parse").args(named), generated.stdout.as_bytes());
            for parsed in json(&parse.assert_code(0).stdout) {
                assert_eq!((&parsed["kind"], &parsed["worker_id"]), (&name.into(), &7.into()));
                assert_eq!(parsed["datacenter_id"], 3);
            }
        }
    }
    for encoding in Encoding::ALL {
        let name = encoding.name();
        let args = ["generate", "--server", &address, "--encoding", name, "--count", "10"];
        let generated = run(&args);
        let parse =
            feed(coreflake().args(["parse", "--encoding", name]), generated.stdout.as_bytes());
        for (parsed, text) in
            json(&parse.assert_code(0).stdout).iter().zip(generated.stdout.lines())
        {
            assert_eq!(parsed["id"].as_u64(), encoding.read(text).map(|id| id.get()));
            assert_eq!(parsed["id_str"], text);
        }
    }
    server.stop().assert_rejects(&[]);
}

#[test]
fn parse_reads_ids_of_other_systems() {
    let parsed = |args: &[&str]| json(&run(&[&["parse"], args].concat()).assert_code(0).stdout);
    let discord = &parsed(&["--preset", "discord", "175928847299117063"])[0];
    let expected = r#"{"id":175928847299117063,"id_str":"175928847299117063","timestamp":"2016-04-30T11:18:25.796Z","timestamp_ms":1462015105796,"worker_id":1,"process_id":0,"increment":7,"preset":"discord"}"#;
    assert_eq!(*discord, serde_json::from_str::<Value>(expected).unwrap());
    // What the environment says of this system is not about another one.
    let ours = [("COREFLAKE_EPOCH", "1600000000000"), ("COREFLAKE_LAYOUT", "nonsense")];
    let args = ["parse", "--preset", "discord", "175928847299117063"];
    let beside = feed(coreflake().envs(ours).args(args), b"");
    assert_eq!(json(&beside.assert_code(0).stdout)[0], *discord);
    let instagram = 1_387_263_000_u64 << 23 | 1_341 << 10 | 905;
    let instagram = &parsed(&["--preset", "instagram", &instagram.to_string()])[0];
    assert_eq!((&instagram["shard_id"], &instagram["sequence"]), (&1_341.into(), &905.into()));
    let highest = &parsed(&["--preset", "mastodon", "18446744073709551615"])[0];
    assert_eq!((&highest["sequence"], &highest["timestamp"]), (&65_535.into(), &Value::Null));
    assert_eq!(highest["timestamp_ms"], (1_u64 << 48) - 1);
    let twitter = &parsed(&["--preset", "twitter", "1212092628029698048"])[0];
    assert_eq!(twitter["timestamp"], "2019-12-31T19:26:16.771Z");
    let sony = &parsed(&["--preset", "sony", "--epoch", "1500000000000", "1677721601"])[0];
    assert_eq!(
        (&sony["machine_id"], &sony["timestamp"]),
        (&1.into(), &"2017-07-14T02:40:01.000Z".into())
    );

    let written = &parsed(&["--preset", "sony", "--encoding", "crockford", "0000000000001"])[0];
    assert_eq!((&written["id"], &written["id_str"]), (&1.into(), &"0000000000001".into()));
    let scratch = Scratch::new("parse-config");
    let file = scratch.path().join("c.yaml");
    std::fs::write(&file, "layout: javascript\nepoch: 1600000000000\n").unwrap();
    let file = file.to_str().unwrap();
    let by_file = &parsed(&["--config", file, "9007199254740991"])[0];
    let by_flags =
        &parsed(&["--layout", "javascript", "--epoch", "1600000000000", "9007199254740991"])[0];
    assert_eq!(by_file, by_flags);
    let stretch = ["range", "--from", "1600000000000", "--to", "1600000000000"];
    let range = feed(coreflake().env("COREFLAKE_CONFIG", file).args(stretch), b"");
    assert_eq!(json(&range.assert_code(0).stdout)[0]["max_id"], 4_095);
    let preset = ["parse", "--preset", "discord", "175928847299117063"];
    let beside = feed(coreflake().env("COREFLAKE_CONFIG", "/nowhere").args(preset), b"");
    assert_eq!(json(&beside.assert_code(0).stdout)[0], *discord);
    run(&["parse", "--config", "/nowhere", "1"]).assert_code(78).assert_says(&["/nowhere"]);
    // Nobody starts a server with this epoch; others may have.
    let old = &parsed(&["--epoch", "0", "--layout", "46+0+0+17", "1"])[0];
    assert_eq!(old["timestamp"], "1970-01-01T00:00:00.000Z");

    let widths = ["--layout", "39+8+8+8", "--tick-ms", "10", "--epoch", "1500000000000"];
    let own = &parsed(&[&widths[..], &["1677787393"]].concat())[0];
    assert_eq!((&own["datacenter_id"], &own["worker_id"]), (&1.into(), &1.into()));
    assert_eq!(
        (&own["sequence"], &own["timestamp"]),
        (&1.into(), &"2017-07-14T02:40:01.000Z".into())
    );
    let shards = ["--kind", "instagram", "--instagram-shard-bits", "20", "8388607"];
    let shards = &parsed(&shards)[0];
    assert_eq!((&shards["shard_id"], &shards["sequence"]), (&((1 << 20) - 1).into(), &7.into()));
}

#[test]
fn a_range_is_printed_for_kinds_that_sort_by_time() {
    let range = |args: &[&str]| run(&[&["range"], args].concat());
    let day = ["--from", "2026-11-24T00:00:00Z", "--to", "1795564799999"];
    for kind in ["snowflake", "instagram", "ulid", "uuid7"] {
        let printed = range(&[&day[..], &["--kind", kind]].concat());
        let printed = &json(&printed.assert_code(0).stdout)[0];
        assert_eq!(
            (&printed["kind"], &printed["to"]),
            (&kind.into(), &"2026-11-24T23:59:59.999Z".into())
        );
        let id = |name: &str| {
            let text = printed[name].as_str().unwrap();
            AnyId::read(text, Some(kind.parse().unwrap()), None).unwrap().bits()
        };
        assert!(id("min_id_str") < id("max_id_str"));
    }
    let first = "780221074636800000";
    let printed = range(&["--from", "1795478400000", "--to", "1795478400000"]);
    let printed = &json(&printed.assert_code(0).stdout)[0];
    assert_eq!(
        (&printed["min_id"], &printed["min_id_str"]),
        (&first.parse::<u64>().unwrap().into(), &first.into())
    );
    range(&["--kind", "uuid1", "--from", "0", "--to", "1"])
        .assert_code(2)
        .assert_says(&["uuid1 do not sort"]);
    range(&["--from", "2", "--to", "1"])
        .assert_code(2)
        .assert_says(&["to: 1 ms is before from, 2 ms"]);
    range(&["--from", "5", "--to", "6"]).assert_code(2).assert_says(&["5 ms is before the epoch"]);
    range(&["--from", "yesterday", "--to", "6"])
        .assert_code(2)
        .assert_says(&["--from", "yesterday"]);
    range(&["--from", "1795478400000"]).assert_code(2).assert_says(&["--to"]);
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for (args, words) in [
        (&["generate", "--kind", "uuid"][..], &["--kind", "`uuid1`, `ulid`, `uuid7`"][..]),
        (&["generate", "--kind", "ULID"], &["--kind", "ULID"]),
        (&["generate", "--encoding", "base64"], &["--encoding", "`base62`"]),
        (
            &["generate", "--kind", "ulid", "--encoding", "base62"],
            &["base62", "ulid has its own form"],
        ),
        (&["parse", "--kind", "uuid7", "--encoding", "base62", "1"], &["uuid7 has its own form"]),
        (&["parse", "--preset", "facebook", "1"], &["`twitter`, `discord`, `mastodon`"]),
        (&["parse", "--preset", "sony", "--layout", "41+5+5+12", "1"], &["--preset", "--layout"]),
        (&["parse", "--preset", "sony", "--kind", "ulid", "1"], &["--preset", "--kind"]),
        (&["parse", "--preset", "sony", "--config", "/nowhere", "1"], &["--preset", "--config"]),
        (&["parse", "--layout", "41+5+5+13", "1"], &["layout 41+5+5+13", "add up to 64"]),
        (&["parse", "--layout", "snow", "1"], &["--layout", "41+5+5+12"]),
        (&["parse", "--tick-ms", "3", "1"], &["a tick of 3 ms"]),
        (&["parse", "--tick-ms", "300", "1"], &["--tick-ms", "300", "1 or 10"]),
        (&["parse", "--epoch", "2021-01-01", "1"], &["--epoch", "2021-01-01", "Unix milliseconds"]),
        (&["parse", "--instagram-shard-bits", "9", "1"], &["a shard of 9 bits"]),
        (
            &["range", "--kind", "ulid", "--encoding", "base62", "--from", "1", "--to", "2"],
            &["ulid has"],
        ),
        (&["serve", "--uuid1-node", "02:00"], &["--uuid1-node", "six bytes"]),
        (&["serve", "--layout", "1"], &["--layout", "snowflake, javascript"]),
    ] {
        run(args).assert_code(2).assert_says(words);
    }
    for (args, words) in [
        (&["parse", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"][..], "26 characters"),
        (&["parse", "919108f7-52d1-4320-9bac-f847db4148a8"], "version 4"),
        (&["parse", "--kind", "uuid1", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"], "version 7"),
        (&["parse", "--encoding", "base62", "1"], "11 characters"),
        (&["parse", "--layout", "javascript", "9007199254740992"], "0 to 9007199254740991 are"),
        (&["parse", "--preset", "twitter", "18446744073709551616"], "is no ID"),
        (&["parse", "--preset", "twitter", "9223372036854775808"], "0 to 9223372036854775807"),
        (&["parse", "00000000000000000001"], "at most 19 digits"),
    ] {
        run(args).assert_code(1).assert_says(&[words]);
    }
}
