//! Repositories, made with the real tools and read with the real apt, dnf and pip.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture;
mod identity;
mod lifecycle;
mod owners;
mod owners_python;
mod owners_rpm;
mod python;
mod reader;
mod refusal;
mod removal;
mod roll_over;
mod rpm;
mod survival;
mod tools;
mod unattended;
