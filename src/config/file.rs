//! The configuration file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::args::ServeArgs;
use crate::config::keys::{self, KEYS};
use crate::config::problem::Problem;
use crate::config::value::{Entry, Value, shown};
use crate::config::yaml;
use crate::limits::{CONFIG_FILE_SIZE_MAX, CONFIG_PROBLEMS_MAX};

/// Bytes of an unknown name for which the nearest known one is looked up.
const UNKNOWN_SIZE_MAX: usize = 100;

/// A configuration file that was read, right or wrong.
#[derive(Debug)]
pub(super) struct ConfigFile {
    /// What it sets.
    pub(super) args: ServeArgs,
    /// What is wrong with it.
    pub(super) problems: Vec<Problem>,
    name: String,
    text: String,
    /// The known keys that were seen, right or wrong, and their places.
    seen: Vec<(&'static str, usize)>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When there is nothing in it that could be looked at.
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let of_file = |text: String| Problem::of(&[], format!("{name}: {text}"));
        let bytes = read_bounded(path).map_err(|error| of_file(error.to_string()))?;
        if bytes.len() as u64 > CONFIG_FILE_SIZE_MAX {
            return Err(of_file(format!("larger than {} KiB", CONFIG_FILE_SIZE_MAX / 1_024)));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
            Problem::of(&[], format!("{name}:{line}: not UTF-8"))
        })?;
        Self::parse(name, text)
    }

    pub(super) fn parse(name: String, text: String) -> Result<Self, Problem> {
        if text.starts_with('\u{feff}') {
            let rule = "begins with a byte order mark: save it as UTF-8 without one";
            return Err(Problem::of(&[], format!("{name}:1: {rule}")));
        }
        let value = yaml::read(&text).map_err(|error| {
            let at = error.at.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
            Problem::of(&[], format!("{name}{at}: {}", error.text))
        })?;
        let entries = match value {
            Value::Group(entries) => entries,
            Value::Nothing => return Err(Problem::of(&[], format!("{name}: holds no keys"))),
            other => {
                return Err(Problem::of(
                    &[],
                    format!("{name}: {}", other.instead_of("a group of keys")),
                ));
            }
        };
        let (args, problems, seen) = Default::default();
        let mut file = Self { args, problems, name, text, seen };
        file.take(None, &entries);
        let place =
            |name| file.seen.iter().find(|(seen, _)| *seen == name).map(|(_, place)| *place);
        if let (Some(port), Some(_)) = (place("port"), place("http")) {
            let rule = "port and http both set the address of REST: keep one of them".to_owned();
            file.problem(&["port", "http"], port, rule);
        }
        let more = file.problems.len().saturating_sub(CONFIG_PROBLEMS_MAX);
        if more > 0 {
            file.problems.truncate(CONFIG_PROBLEMS_MAX);
            let text = format!("{}: and {more} more problems", file.name);
            file.problems.push(Problem::of(&[], text));
        }
        Ok(file)
    }

    /// Whether a problem with one of these keys is one that has been told.
    pub(super) fn is_told(&self, keys: &[&str]) -> bool {
        self.problems.iter().any(|problem| problem.keys.iter().any(|key| keys.contains(key)))
    }

    /// Where a key stands, as the beginning of a line. Nothing when it does not stand here.
    pub(super) fn origin(&self, key: &str) -> Option<String> {
        let (_, place) = self.seen.iter().find(|(name, _)| *name == key)?;
        Some(self.at(*place))
    }

    fn at(&self, place: usize) -> String {
        let line = yaml::line(&self.text, place);
        line.map_or_else(|| self.name.clone(), |line| format!("{}:{line}", self.name))
    }

    fn problem(&mut self, keys: &[&'static str], place: usize, text: String) {
        // Each line is looked up in the whole file.
        let at =
            if self.problems.len() < CONFIG_PROBLEMS_MAX { self.at(place) } else { String::new() };
        self.problems.push(Problem::of(keys, format!("{at}: {text}")));
    }

    /// Takes over what the keys of the file, or those of a group, are set to.
    fn take(&mut self, group: Option<&str>, entries: &[Entry]) {
        for (index, Entry { key, place, value }) in entries.iter().enumerate() {
            let name = group.map_or_else(|| key.clone(), |group| format!("{group}.{key}"));
            let of_group = keys::of_group(&name);
            if entries[..index].iter().any(|before| before.key == *key) {
                self.problem(&[], *place, format!("duplicate key {}", shown(&name)));
            } else if ["token", "auth.token"].contains(&name.as_str()) {
                // What stands there is not repeated.
                let rule = "a token does not belong into this file: put it into a file of its own, \
                            mode 600, and name that one with auth.token_file";
                self.problem(&["auth.token_file"], *place, format!("{name}: {rule}"));
            } else if let Some(known) = keys::named(&name).filter(|_| !key.contains('.')) {
                self.seen.push((known.name, *place));
                if let Err(rule) = (known.set)(&mut self.args, value) {
                    let text = format!("{name} {rule}");
                    self.problem(&[known.name], *place, text);
                }
            } else if group.is_none() && !of_group.is_empty() {
                match value {
                    Value::Group(entries) => self.take(Some(&name), entries),
                    // It may be a token.
                    _ => {
                        let keys = of_group.join(", ");
                        self.problem(
                            &[],
                            *place,
                            format!("{name}: keys are expected below: {keys}"),
                        );
                    }
                }
            } else {
                // What is not told needs no search.
                let told = self.problems.len() < CONFIG_PROBLEMS_MAX;
                let hint = match told.then(|| nearest(&name, key)).flatten() {
                    Some(nearest) if nearest == name => {
                        let (group, key) = nearest.split_once('.').unwrap_or((nearest, ""));
                        format!(": write {key:?} below {group:?}")
                    }
                    Some(nearest) => format!(": did you mean {nearest:?}?"),
                    None => String::new(),
                };
                self.problem(&[], *place, format!("unknown key {}{hint}", shown(&name)));
            }
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe that nobody writes to would be waited for without a word.
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_fifo() || kind.is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(CONFIG_FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The name of the key or group that looks most like `name`, or of the key of some group that looks
/// like `key` alone. A name that is much longer than all of them looks like none.
fn nearest(name: &str, key: &str) -> Option<&'static str> {
    if name.len() > UNKNOWN_SIZE_MAX {
        return None;
    }
    // Who knows the flag looks for its key.
    let is_flag = |flag: &str| flag.replace('-', "_") == name.replace('-', "_");
    if let Some(key) = KEYS.iter().find(|key| key.flag.is_some_and(is_flag)) {
        return Some(key.name);
    }
    let distance = |known: &'static str| {
        let (group, last) = known.split_once('.').unwrap_or((known, known));
        let alone = strsim::damerau_levenshtein(key, last) + usize::from(last != known);
        let to_key = strsim::damerau_levenshtein(name, known).min(alone);
        let to_group = strsim::damerau_levenshtein(name, group);
        if to_group < to_key { (to_group, group) } else { (to_key, known) }
    };
    let known = KEYS.iter().map(|known| distance(known.name));
    known.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Vec<String> {
        match ConfigFile::parse("c.yaml".into(), text.into()) {
            Ok(file) => file.problems.into_iter().map(|problem| problem.text).collect(),
            Err(problem) => vec![problem.text],
        }
    }

    #[test]
    fn the_nearest_key_is_named() {
        for (unknown, known) in [
            ("wroker_id: 1", "unknown key \"wroker_id\": did you mean \"worker_id\"?"),
            ("worker-id: 1", "unknown key \"worker-id\": did you mean \"worker_id\"?"),
            ("ntp: {server: [a]}", "unknown key \"ntp.server\": did you mean \"ntp.servers\"?"),
            ("limit: {x: 1}", "unknown key \"limit\": did you mean \"limits\"?"),
            ("ntp-server: x", "unknown key \"ntp-server\": did you mean \"ntp.servers\"?"),
            ("token_file: x", "unknown key \"token_file\": did you mean \"auth.token_file\"?"),
            ("ntp.servers: [a]", "unknown key \"ntp.servers\": write \"servers\" below \"ntp\""),
        ] {
            assert_eq!(parse(unknown), [format!("c.yaml:1: {known}")]);
        }
        assert_eq!(parse(&format!("{}: 1", "x".repeat(5_000))).len(), 1);
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let text = "worker_id: -1\nport: 1\nepoch:\nhttp: none\nworker_id: 3\nntp: x\n\
                    auth:\n  token: s3cret\n  token_file: [s3cret]\n";
        let problems = parse(text);
        assert_eq!(problems.len(), 7, "{problems:#?}");
        for (problem, begin) in problems.iter().zip([
            "c.yaml:1: worker_id -1 is out of range: 0 to 65535 are allowed",
            "c.yaml:3: epoch has no value: ",
            "c.yaml:5: duplicate key \"worker_id\"",
            "c.yaml:6: ntp: keys are expected below: ntp.servers, ntp.interval_ms",
            "c.yaml:8: auth.token: a token does not belong into this file",
            "c.yaml:9: auth.token_file (a list of 1): a path is expected",
            "c.yaml:2: port and http both",
        ]) {
            assert!(problem.starts_with(begin), "{problem}\n{begin}");
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }

    #[test]
    fn endless_problems_have_an_end() {
        let text: String = (0..5_000).map(|number| format!("k{number}: 1\n")).collect();
        let problems = parse(&text);
        assert_eq!(problems.len(), CONFIG_PROBLEMS_MAX + 1);
        assert_eq!(problems[CONFIG_PROBLEMS_MAX], "c.yaml: and 4950 more problems");
    }
}
