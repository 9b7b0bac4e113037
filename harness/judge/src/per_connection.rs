//! A value for each Network Connection.

use crate::history::{ConnectionKey, HostIndex};

/// Values by connection. Hosts are numbered from 0, and most events are on the newest connection of
/// a host, which is looked at first.
#[derive(Debug)]
pub(crate) struct PerConnection<T> {
    /// By host, each in the order of the connections' numbers.
    hosts: Vec<Vec<(u32, T)>>,
}

impl<T> Default for PerConnection<T> {
    fn default() -> Self {
        Self { hosts: Vec::new() }
    }
}

impl<T> PerConnection<T> {
    pub(crate) fn get(&self, connection: ConnectionKey) -> Option<&T> {
        let of_host = self.hosts.get(usize::from(connection.host.0))?;
        of_host.get(place(of_host, connection.number).ok()?).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, connection: ConnectionKey) -> Option<&mut T> {
        let of_host = self.hosts.get_mut(usize::from(connection.host.0))?;
        let place = place(of_host, connection.number).ok()?;
        of_host.get_mut(place).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, connection: ConnectionKey, value: T) {
        let of_host = self.of_host(connection);
        match place(of_host, connection.number) {
            Ok(place) => of_host[place].1 = value,
            Err(place) => of_host.insert(place, (connection.number, value)),
        }
    }

    pub(crate) fn get_or_default(&mut self, connection: ConnectionKey) -> &mut T
    where
        T: Default,
    {
        let of_host = self.of_host(connection);
        let place = place(of_host, connection.number).unwrap_or_else(|place| {
            of_host.insert(place, (connection.number, T::default()));
            place
        });
        &mut of_host[place].1
    }

    /// All values, in the order of hosts and connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionKey, &T)> {
        (0..).zip(&self.hosts).flat_map(|(host, of_host)| {
            of_host.iter().map(move |(number, value)| (key(host, *number), value))
        })
    }

    /// The same, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionKey, &mut T)> {
        (0..).zip(&mut self.hosts).flat_map(|(host, of_host)| {
            of_host.iter_mut().map(move |(number, value)| (key(host, *number), value))
        })
    }

    /// Whether this connection, or a later one of its host, has a value.
    pub(crate) fn has_since(&self, connection: ConnectionKey) -> bool {
        let newest = self.hosts.get(usize::from(connection.host.0)).and_then(|of_host| of_host.last());
        newest.is_some_and(|(number, _)| *number >= connection.number)
    }

    /// Drops the values of the host's earlier connections.
    pub(crate) fn forget_before(&mut self, kept: ConnectionKey) {
        if let Some(of_host) = self.hosts.get_mut(usize::from(kept.host.0)) {
            of_host.retain(|(number, _)| *number >= kept.number);
        }
    }

    fn of_host(&mut self, connection: ConnectionKey) -> &mut Vec<(u32, T)> {
        let host = usize::from(connection.host.0);
        if self.hosts.len() <= host {
            self.hosts.resize_with(host + 1, Vec::new);
        }
        &mut self.hosts[host]
    }
}

fn key(host: u16, number: u32) -> ConnectionKey {
    ConnectionKey { host: HostIndex(host), number }
}

/// Where the connection with this number is, or where it belongs.
fn place<T>(of_host: &[(u32, T)], number: u32) -> Result<usize, usize> {
    match of_host.last() {
        Some((newest, _)) if *newest == number => Ok(of_host.len() - 1),
        Some((newest, _)) if *newest > number => of_host.binary_search_by_key(&number, |(number, _)| *number),
        _ => Err(of_host.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(host: u16, number: u32) -> ConnectionKey {
        ConnectionKey { host: HostIndex(host), number }
    }

    #[test]
    fn values_are_found_whatever_the_order_in_which_they_came() {
        let mut values = PerConnection::default();
        for (host, number) in [(2, 3), (0, 1), (2, 5), (2, 1), (2, 4)] {
            values.insert(connection(host, number), (host, number));
        }
        for (host, number) in [(0, 1), (2, 1), (2, 3), (2, 4), (2, 5)] {
            assert_eq!(values.get(connection(host, number)), Some(&(host, number)));
        }
        for (host, number) in [(0, 2), (1, 1), (2, 2), (2, 6), (3, 1)] {
            assert_eq!(values.get(connection(host, number)), None);
        }
        assert!(values.has_since(connection(2, 5)) && !values.has_since(connection(2, 6)));
        values.forget_before(connection(2, 4));
        assert_eq!(values.get_mut(connection(2, 3)), None);
        assert_eq!(*values.get_or_default(connection(2, 4)), (2, 4));
        assert_eq!(*values.get_or_default(connection(2, 3)), (0, 0));
        assert_eq!(values.get(connection(0, 1)), Some(&(0, 1)));
    }
}
