//! Lookups of names and addresses. An answer stays here until Lua has copied it piece by piece.

use luasocketd_protocol::{Address, Call, Family, HostEntry, HostEntryOf, NameInfo, NameInfoOf, Resolve};

use super::{Outcome, Session};
use crate::limits::Until;
use crate::mux::Reply;
use crate::pipe::Host;
use crate::stream::closed;

/// What the last lookup has found.
#[derive(Debug, Default)]
pub(crate) enum Found {
    #[default]
    Nothing,
    Addresses(Vec<Address>),
    Entry(HostEntry),
    Names(NameInfo),
}

/// One text of what was found; those of lists by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundText {
    /// The official name of a host.
    HostName,
    /// Another name of it.
    Alias(usize),
    /// An IPv4 address of it.
    HostAddress(usize),
    /// A name of an address.
    Name(usize),
    /// The name of a service.
    Service,
}

impl Found {
    fn text(&self, which: FoundText) -> Option<&str> {
        let text = match (self, which) {
            (Found::Entry(entry), FoundText::HostName) => Some(&entry.name),
            (Found::Entry(entry), FoundText::Alias(index)) => entry.aliases.get(index),
            (Found::Entry(entry), FoundText::HostAddress(index)) => entry.addresses.get(index),
            (Found::Names(names), FoundText::Name(index)) => names.names.get(index),
            (Found::Names(names), FoundText::Service) => names.service.as_ref(),
            _ => None,
        };
        text.map(String::as_str)
    }
}

impl Session {
    /// Looks the addresses of a name up; says how many there are.
    pub(crate) fn resolve(&self, host: &dyn Host, name: &str, family: Family) -> Outcome<usize> {
        let call = Call::Resolve(Resolve { host: name, family, timeout_ms: None });
        let Reply::Addresses(addresses) = self.look_up(host, &call)? else { return Err(closed().into()) };
        let count = addresses.len();
        self.found.replace(Found::Addresses(addresses));
        Ok(count)
    }

    /// Looks up all that is known of a host; says how many aliases and addresses it has.
    pub(crate) fn host_entry(&self, host: &dyn Host, name: &str) -> Outcome<(usize, usize)> {
        let call = Call::HostEntry(HostEntryOf { host: name, timeout_ms: None });
        let Reply::HostEntry(entry) = self.look_up(host, &call)? else { return Err(closed().into()) };
        let counts = (entry.aliases.len(), entry.addresses.len());
        self.found.replace(Found::Entry(entry));
        Ok(counts)
    }

    /// Looks the names of an address and of a port up; says how many names the address has.
    pub(crate) fn name_info(
        &self,
        host: &dyn Host,
        name: Option<&str>,
        service: Option<&str>,
    ) -> Outcome<usize> {
        let call = Call::NameInfo(NameInfoOf { host: name, service, timeout_ms: None });
        let Reply::NameInfo(names) = self.look_up(host, &call)? else { return Err(closed().into()) };
        let count = names.names.len();
        self.found.replace(Found::Names(names));
        Ok(count)
    }

    /// LuaSocket has no limit for lookups of a script's own.
    fn look_up(&self, host: &dyn Host, call: &Call<'_>) -> Outcome<Reply> {
        let pipe = self.pipe(host, Until::Forever)?;
        Ok(self.ask(host, pipe, call, Until::Forever)?.1?)
    }

    /// Gives one address of the last lookup to `read`.
    pub(crate) fn with_address<T>(&self, index: usize, read: impl FnOnce(&Address) -> T) -> Option<T> {
        match &*self.found.borrow() {
            Found::Addresses(addresses) => addresses.get(index).map(read),
            _ => None,
        }
    }

    /// Gives one text of the last lookup to `read`.
    pub(crate) fn with_found<T>(&self, which: FoundText, read: impl FnOnce(&str) -> T) -> Option<T> {
        self.found.borrow().text(which).map(read)
    }
}
