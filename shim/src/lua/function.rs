//! How the functions of the faces are described: their names, their arguments, the classes of objects.

use std::ffi::CStr;

use super::answer::Action;
use super::raw::Call;

/// A function or method.
pub(crate) struct Function {
    pub(crate) name: &'static CStr,
    /// What is checked of its arguments, in order, before it runs.
    pub(crate) parameters: &'static [Parameter],
    /// The class of the object that it makes.
    pub(crate) makes: Option<Class>,
    pub(crate) run: fn(&Call<'_>) -> Action,
}

impl Function {
    /// A function that makes no object.
    pub(crate) const fn new(
        name: &'static CStr,
        parameters: &'static [Parameter],
        run: fn(&Call<'_>) -> Action,
    ) -> Self {
        Function { name, parameters, makes: None, run }
    }

    /// A function that makes an object.
    pub(crate) const fn making(
        class: Class,
        name: &'static CStr,
        parameters: &'static [Parameter],
        run: fn(&Call<'_>) -> Action,
    ) -> Self {
        Function { name, parameters, makes: Some(class), run }
    }
}

/// What is checked of one argument. What does not hold raises Lua's usual error for it.
#[derive(Clone, Copy)]
pub(crate) enum Parameter {
    /// An object of one of these classes, else an error with this text.
    Object(&'static [Class], &'static CStr),
    /// A string; numbers are converted.
    Text,
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
    /// The value of an option. Of a table, the fields `on` and `timeout` follow as the next two arguments.
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
    V1Client,
    V1Server,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub(crate) const ALL: [Class; 5] =
        [Class::TcpMaster, Class::TcpClient, Class::TcpServer, Class::V1Client, Class::V1Server];

    /// What `tostring` and error messages call it.
    pub(crate) const fn name(self) -> &'static CStr {
        match self {
            Class::TcpMaster => c"tcp{master}",
            Class::TcpClient => c"tcp{client}",
            Class::TcpServer => c"tcp{server}",
            Class::V1Client => c"client socket",
            Class::V1Server => c"server socket",
        }
    }

    /// The key that marks its group in the metatable.
    pub(crate) const fn group(self) -> Option<&'static CStr> {
        match self {
            Class::TcpMaster | Class::TcpClient | Class::TcpServer => Some(c"tcp{any}"),
            Class::V1Client | Class::V1Server => None,
        }
    }

    /// Its methods.
    pub(crate) const fn methods(self) -> &'static [Function] {
        match self {
            Class::TcpMaster | Class::TcpClient | Class::TcpServer => super::tcp::METHODS,
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
