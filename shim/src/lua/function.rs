//! How the functions of the faces are described: their names, their arguments, the classes of objects.

use std::ffi::{CStr, c_int};

use super::answer::Action;
use super::raw::Call;

/// A function or method.
pub(crate) struct Function {
    pub(crate) name: &'static CStr,
    /// What is checked of its arguments, in order, before it runs.
    pub(crate) parameters: &'static [Parameter],
    /// The class of the object that it makes.
    pub(crate) makes: Option<Class>,
    /// The short way that is tried first, if it has one.
    pub(crate) quick: Option<Quick>,
    pub(crate) run: fn(&Call<'_>) -> Action,
}

impl Function {
    /// A function that makes no object.
    pub(crate) const fn new(
        name: &'static CStr,
        parameters: &'static [Parameter],
        run: fn(&Call<'_>) -> Action,
    ) -> Self {
        Function { name, parameters, makes: None, quick: None, run }
    }

    /// The same, with a short way.
    pub(crate) const fn quick(self, quick: Quick) -> Self {
        Function { quick: Some(quick), ..self }
    }

    /// A function that makes an object.
    pub(crate) const fn making(
        class: Class,
        name: &'static CStr,
        parameters: &'static [Parameter],
        run: fn(&Call<'_>) -> Action,
    ) -> Self {
        Function { name, parameters, makes: Some(class), quick: None, run }
    }
}

/// A short way of one of LuaSocket 3.1's methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quick {
    Receive,
    Send,
}

/// What is checked of one argument. What does not hold raises Lua's usual error for it.
#[derive(Clone, Copy)]
pub(crate) enum Parameter {
    /// An object of one of these classes, else an error with this text.
    Object(&'static [Class], &'static CStr),
    /// A string; numbers are converted.
    Text,
    /// As `Text`, unless the argument at the position is this text, as C reads it.
    TextUnless(c_int, &'static CStr),
    /// As `Text`, or absent.
    OptionalText,
    /// Strings up to the first that is absent.
    TextsUntilNil,
    /// A number, or a string that is one.
    Number,
    /// As `Number`, or absent.
    OptionalNumber,
    /// A number or a string, or absent.
    OptionalNumberOrText,
    /// The value of an option, whose name is the argument before it. Of a table, the two fields that the option
    /// looks at follow as the next arguments.
    OptionValue,
    /// Anything.
    Any,
}

/// The classes of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    TcpMaster,
    TcpClient,
    TcpServer,
    UdpConnected,
    UdpUnconnected,
    UnixStreamMaster,
    UnixStreamClient,
    UnixStreamServer,
    UnixDgramConnected,
    UnixDgramUnconnected,
    V1Client,
    V1Server,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub(crate) const ALL: [Class; 12] = [
        Class::TcpMaster,
        Class::TcpClient,
        Class::TcpServer,
        Class::UdpConnected,
        Class::UdpUnconnected,
        Class::UnixStreamMaster,
        Class::UnixStreamClient,
        Class::UnixStreamServer,
        Class::UnixDgramConnected,
        Class::UnixDgramUnconnected,
        Class::V1Client,
        Class::V1Server,
    ];

    /// What `tostring` and error messages call it.
    pub(crate) const fn name(self) -> &'static CStr {
        match self {
            Class::TcpMaster => c"tcp{master}",
            Class::TcpClient => c"tcp{client}",
            Class::TcpServer => c"tcp{server}",
            Class::UdpConnected => c"udp{connected}",
            Class::UdpUnconnected => c"udp{unconnected}",
            Class::UnixStreamMaster => c"unixstream{master}",
            Class::UnixStreamClient => c"unixstream{client}",
            Class::UnixStreamServer => c"unixstream{server}",
            Class::UnixDgramConnected => c"unixdgram{connected}",
            Class::UnixDgramUnconnected => c"unixdgram{unconnected}",
            Class::V1Client => c"client socket",
            Class::V1Server => c"server socket",
        }
    }

    /// The keys that mark its groups in the metatable.
    pub(crate) const fn groups(self) -> &'static [&'static CStr] {
        match self {
            Class::TcpMaster | Class::TcpClient | Class::TcpServer => &[c"tcp{any}"],
            Class::UdpConnected | Class::UdpUnconnected => &[c"udp{any}", c"select{able}"],
            Class::UnixStreamMaster | Class::UnixStreamClient | Class::UnixStreamServer => {
                &[c"unixstream{any}"]
            }
            Class::UnixDgramConnected | Class::UnixDgramUnconnected => &[c"unixdgram{any}", c"select{able}"],
            Class::V1Client | Class::V1Server => &[],
        }
    }

    /// Whether it is one of LuaSocket 3.1's, which `select` takes and whose objects know their class.
    pub(crate) const fn is_3_1(self) -> bool {
        !self.groups().is_empty()
    }

    /// Its methods.
    pub(crate) const fn methods(self) -> &'static [Function] {
        match self {
            Class::TcpMaster | Class::TcpClient | Class::TcpServer => super::tcp::METHODS,
            Class::UdpConnected | Class::UdpUnconnected => super::udp::METHODS,
            Class::UnixStreamMaster | Class::UnixStreamClient | Class::UnixStreamServer => {
                super::unix::STREAM_METHODS
            }
            Class::UnixDgramConnected | Class::UnixDgramUnconnected => super::unix::DGRAM_METHODS,
            Class::V1Client => super::v1::CLIENT_METHODS,
            Class::V1Server => super::v1::SERVER_METHODS,
        }
    }
}

/// What kind of value an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Nil,
    Flag,
    Number,
    Text,
    Table,
    Other,
}
