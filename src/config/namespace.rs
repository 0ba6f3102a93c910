//! Layout and epochs of IDs, and what must be true of them at a start.

use coreflake_protocol::{Kind, Layout, LayoutError, Namespace, NamespaceError, Widths};

use crate::args::{NamespaceArgs, Node, ServeArgs};
use crate::config::problem::Problem;
use crate::{details, timestamp};

/// 2000-01-01T00:00:00Z in Unix milliseconds. A smaller number counts seconds, most likely.
const EPOCH_MS_MIN: u64 = 946_684_800_000;

/// A layout that ends sooner than this is not started with: there would be no time to move to
/// another one.
const LEFT_MS_MIN: u64 = 365 * 24 * 3_600 * 1_000;

/// A kind that ends sooner than this is worth a word at every start.
const LEFT_MS_TOLD: u64 = 5 * LEFT_MS_MIN;

/// The namespace of these settings. With the time of a start its epochs have to be plausible;
/// without one they may be any, for IDs of others.
///
/// # Errors
///
/// All settings that make none.
pub(crate) fn of(args: &NamespaceArgs, start_ms: Option<u64>) -> Result<Namespace, Vec<Problem>> {
    let (usual, usual_tick_ms) = (Layout::SNOWFLAKE, Layout::SNOWFLAKE.scale().tick_ms());
    let widths = args.layout.map_or_else(|| usual.widths(), |layout| layout.0);
    let tick_ms = args.tick_ms.unwrap_or(usual_tick_ms);
    let epoch_ms = args.epoch.unwrap_or_else(|| usual.epoch_ms());
    let mut problems = Vec::new();
    for (key, epoch_ms) in [("epoch", args.epoch), ("instagram.epoch", args.instagram_epoch)] {
        let given = epoch_ms.zip(start_ms);
        problems.extend(given.and_then(|(epoch_ms, now_ms)| epoch(key, epoch_ms, now_ms).err()));
    }
    // One by one, so that each is named.
    let widths_only = layout(widths, usual_tick_ms, usual.epoch_ms());
    problems.extend(layout(usual.widths(), tick_ms, usual.epoch_ms()).err());
    match widths_only {
        Ok(layout) => problems.extend(new(layout, args.instagram_shard_bits, None).err()),
        Err(problem) => problems.push(problem),
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    layout(widths, tick_ms, epoch_ms)
        .and_then(|layout| new(layout, args.instagram_shard_bits, args.instagram_epoch))
        .map_err(|problem| vec![problem])
}

fn layout(widths: Widths, tick_ms: u8, epoch_ms: u64) -> Result<Layout, Problem> {
    Layout::new(widths, tick_ms, epoch_ms).map_err(|error| match error {
        LayoutError::TickLength(_) => Problem::of(&["tick_ms"], format!("tick-ms: {error}")),
        LayoutError::Epoch(_) => Problem::of(&["epoch"], error.to_string()),
        _ => Problem::of(&["layout"], format!("layout {widths}: {error}")),
    })
}

fn new(
    layout: Layout,
    shard_bits: Option<u8>,
    instagram_epoch_ms: Option<u64>,
) -> Result<Namespace, Problem> {
    Namespace::new(layout, shard_bits, instagram_epoch_ms).map_err(|error| match error {
        NamespaceError::ShardBits { .. } => {
            Problem::of(&["instagram.shard_bits"], format!("instagram-shard-bits: {error}"))
        }
        NamespaceError::Epoch(_) => Problem::of(&["epoch"], error.to_string()),
    })
}

fn epoch(key: &'static str, epoch_ms: u64, now_ms: u64) -> Result<(), Problem> {
    let name = key.replace('.', "-");
    if epoch_ms < EPOCH_MS_MIN {
        let text = format!(
            "{name} {epoch_ms} is no time in milliseconds: {EPOCH_MS_MIN} (2000-01-01) to now are \
             allowed"
        );
        return Err(Problem::of(&[key], text));
    }
    if epoch_ms > now_ms {
        let text =
            format!("{name} {epoch_ms} is later than now: an epoch in the future has no IDs");
        return Err(Problem::of(&[key], text));
    }
    Ok(())
}

/// When a kind of this namespace ends within five years of `now_ms`, and which.
pub(crate) fn ending(namespace: &Namespace, now_ms: u64) -> Option<(Kind, u64)> {
    let ends = Kind::ALL.map(|kind| (kind, namespace.scale(kind).end_ms()));
    let first = ends.into_iter().min_by_key(|(_, end_ms)| *end_ms);
    first.filter(|(_, end_ms)| *end_ms < now_ms.saturating_add(LEFT_MS_TOLD))
}

/// What is wrong with the end of a layout, as seen at `now_ms`: it is less than a year away. Kind
/// `instagram`, whose time may end earlier, is no reason: who does not use it loses nothing.
pub(super) fn ends(namespace: &Namespace, now_ms: u64) -> Option<Problem> {
    let end_ms = namespace.layout().end_ms();
    if end_ms >= now_ms.saturating_add(LEFT_MS_MIN) {
        return None;
    }
    let (epoch_ms, end) = (namespace.layout().epoch_ms(), timestamp::rfc3339(end_ms));
    let text = format!(
        "epoch {epoch_ms}: the layout has timestamps until {end}, less than a year from now: use a \
         later epoch or more timestamp bits, and with it another namespace"
    );
    Some(Problem::of(&["epoch", "layout", "tick_ms"], text))
}

/// The node of UUIDs of version 1, if it is not made of the slot.
pub(super) fn node(args: &ServeArgs, namespace: &Namespace) -> Result<Option<u64>, Problem> {
    let widths = namespace.layout().widths();
    let wrong = |text: String| Problem::of(&["uuid1.node"], format!("uuid1-node {text}"));
    let node = match args.uuid1_node {
        None | Some(Node::Slot) => return Ok(None),
        Some(Node::Given(node)) => node,
        Some(Node::Mac) => mac().ok_or_else(|| {
            wrong("mac: no network card of this machine has an address".to_owned())
        })?,
    };
    if namespace.slot_is_in_node() {
        return Err(wrong(format!(
            "{}: a slot of {} bits does not fit the clock sequence: with more than 14 the node is \
             made of the slot",
            details::node_text(node),
            widths.slot()
        )));
    }
    Ok(Some(node))
}

/// The address of the first network card that has one, by the order of their names.
fn mac() -> Option<u64> {
    let mut cards: Vec<_> = std::fs::read_dir("/sys/class/net").ok()?.flatten().collect();
    cards.sort_by_key(std::fs::DirEntry::file_name);
    let address = |card: &std::fs::DirEntry| {
        let text = std::fs::read_to_string(card.path().join("address")).ok()?;
        match text.trim().parse() {
            Ok(Node::Given(node)) if node != 0 => Some(node),
            _ => None,
        }
    };
    cards.iter().find_map(address)
}
