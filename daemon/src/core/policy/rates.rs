//! How fast one client may go, and how far.

macro_rules! rates {
    ($($(#[$doc:meta])* $field:ident = $what:literal;)+) => {
        /// What a client may do in a time, or in all. `None` is no limit.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Rates {
            $($(#[$doc])* pub $field: Option<u64>,)+
        }

        impl Rates {
            /// The keys of the file, with what each one limits.
            pub const KEYS: &[(&str, &str)] = &[$((stringify!($field), $what)),+];

            /// Sets the limit that has this key; says whether there is one.
            pub(super) fn set(&mut self, key: &str, limit: u64) -> bool {
                match key {
                    $(stringify!($field) => self.$field = Some(limit),)+
                    _ => return false,
                }
                true
            }
        }
    };
}

rates! {
    /// Clients that have the profile at the same time.
    clients = "clients at once";
    /// Calls to connect in a second; as many may come at once after a pause.
    connections_per_second = "connections per second";
    /// Bytes to the network in a second, of all the client's sockets; as many may go at once after a pause.
    send_bytes_per_second = "bytes sent per second";
    /// Bytes from the network in a second, as those to it.
    receive_bytes_per_second = "bytes received per second";
    /// Bytes both ways, of all the client's sockets, for as long as it is connected.
    bytes_in_all = "bytes in all";
}
