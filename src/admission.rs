//! How many connections there may be. Asked when one is accepted, never on the request path.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::counters::Reject;
use crate::limits::Limits;
use crate::peer;

/// Counts the connections of all shards, or of the gateway.
#[derive(Debug)]
pub(crate) struct Admission {
    connections_max: u32,
    connections_per_ip_max: u32,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: u32,
    per_ip: HashMap<IpAddr, u32>,
}

/// The right to one connection, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    ip: IpAddr,
}

impl Admission {
    /// For the doors of the shards.
    pub(crate) fn of_shards(limits: &Limits) -> Self {
        Self::new(limits.connections_max, limits.connections_per_ip_max)
    }

    /// For the doors of the gateway.
    pub(crate) fn of_gateway(limits: &Limits) -> Self {
        // Half at most, or one address could keep everybody from health and metrics.
        let half = limits.gateway_connections_max.div_ceil(2);
        Self::new(limits.gateway_connections_max, limits.connections_per_ip_max.min(half))
    }

    fn new(connections_max: u32, connections_per_ip_max: u32) -> Self {
        Self { connections_max, connections_per_ip_max, open: Mutex::default() }
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> u32 {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// A permit for a connection from `ip`, or the limit it would pass. Addresses of one IPv6
    /// network count as one.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, Reject> {
        let ip = peer::network(ip);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.connections_max {
            return Err(Reject::ConnectionLimit);
        }
        let from_ip = open.per_ip.get(&ip).copied().unwrap_or(0);
        if from_ip >= self.connections_per_ip_max {
            return Err(Reject::ConnectionPerIpLimit);
        }
        open.total += 1;
        open.per_ip.insert(ip, from_ip + 1);
        Ok(Permit { admission: Arc::clone(self), ip })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        // An address without connections leaves nothing behind: the map is bounded by the total.
        match open.per_ip.get_mut(&self.ip) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_permits_come_back() {
        let admission = Arc::new(Admission::new(3, 2));
        let one: IpAddr = [127, 0, 0, 1].into();
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let other: IpAddr = [127, 0, 0, 2].into();
        let first = admission.admit(one).unwrap();
        let _second = admission.admit(mapped).unwrap();
        assert_eq!(admission.admit(one).unwrap_err(), Reject::ConnectionPerIpLimit);
        let _third = admission.admit(other).unwrap();
        assert_eq!(admission.admit(other).unwrap_err(), Reject::ConnectionLimit);
        drop(first);
        assert!(admission.admit(one).is_ok());
        assert_eq!(admission.open.lock().unwrap().per_ip.len(), 2);
    }
}
