//! What the text of the specification shows, against this crate.

use coreflake_protocol::{
    Count, ErrorCode, Id, IdsWriter, Kind, Layout, Namespace, Parts, Request, Run,
};

/// The bytes and numbers that the text of the specification shows.
#[test]
fn the_examples_of_the_specification_hold() {
    let text = include_str!("../../PROTOCOL.md");
    let blocks: Vec<Vec<u8>> = text
        .split("```")
        .filter(|block| block.starts_with("\n00 00 00"))
        .map(|block| {
            let columns = block.lines().map(|line| line.split("  ").next().unwrap_or_default());
            let digits: String = columns.flat_map(str::split_whitespace).collect();
            let bytes =
                (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
            bytes.collect::<Result<_, _>>().unwrap()
        })
        .collect();
    let [asked, answered] = &blocks[..] else { panic!("one exchange is shown") };

    let request_id = 0x0102_0304_0506_0708;
    let id = Id::new(1_234_567_890_123_456_789).unwrap();
    let mut bytes = Vec::new();
    let count = Count::new(3).unwrap();
    Request::Generate { kind: Kind::Snowflake, count }.encode(request_id, &mut bytes);
    assert_eq!(*asked, bytes);

    bytes.clear();
    let mut writer = IdsWriter::begin(&mut bytes, request_id);
    writer.push(&mut bytes, Run::new(id, 3.try_into().unwrap()).unwrap());
    writer.finish(&mut bytes);
    assert_eq!(*answered, bytes);

    let parts =
        Parts { unix_ms: 1_903_803_122_167, datacenter_id: 20, worker_id: 24, sequence: 277 };
    assert_eq!(Layout::SNOWFLAKE.parse(id), parts);
    let fingerprint = format!("fingerprint {:#018x}", Namespace::DEFAULT.fingerprint());
    assert!(text.contains(&fingerprint), "{fingerprint}");
    for code in ErrorCode::ALL {
        let closes = if code.closes_connection() { "yes" } else { "no" };
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {:#06x} | {} |", code.wire(), code.name())))
            .unwrap_or_else(|| panic!("{code} is not in the table"));
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let expected = if code == ErrorCode::ReplyTooLarge { "(UDP)" } else { closes };
        assert_eq!(columns[4], expected, "{code}");
        assert_eq!(columns[5].starts_with("yes"), code.is_retryable(), "{code}");
    }
}
