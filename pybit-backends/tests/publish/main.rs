//! apt repositories, made with the real tools and read with the real apt.

mod fixture;
mod lifecycle;
mod reader;
mod refusal;
mod survival;
