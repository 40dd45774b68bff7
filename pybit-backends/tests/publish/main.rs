//! Repositories, made with the real tools and read with the real apt and dnf.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture;
mod lifecycle;
mod reader;
mod refusal;
mod rpm;
mod survival;
mod tools;
