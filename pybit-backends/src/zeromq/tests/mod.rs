//! What both ends know, tested without sockets.

mod book;
mod desk;
