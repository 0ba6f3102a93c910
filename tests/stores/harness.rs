//! The tools of these tests, before anybody relies on them.

mod ensembles;
mod proxies;
mod single;
