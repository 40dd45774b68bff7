//! Hints in.
//!
//! A task owns the channel of an inbox: the inbox and its receipts only talk to it, so they may be dropped anywhere. It
//! ends when the inbox and every receipt are gone, and starts again on the next connection where one is lost.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, Channel};
use pybit_core::model::{ClientName, Route};
use pybit_core::transport::{Delivery, Hint, Inbox, Receipt};
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use super::attend::{self, Listener, Ready, ended};
use super::link::{Link, Session};
use super::topology;

/// Opens an inbox. Returns when the broker delivers to it, or at once while there is no broker.
pub(super) async fn open(
    link: &Arc<Link>,
    client: &ClientName,
    routes: &[Route],
    credit: u32,
) -> Result<Box<dyn Inbox>> {
    let credit = u16::try_from(credit.max(1)).unwrap_or(u16::MAX);
    let (hints_in, hints) = mpsc::channel(usize::from(credit));
    let (verdicts_in, verdicts) = mpsc::unbounded_channel();
    let desk = Desk {
        link: Arc::clone(link),
        client: client.clone(),
        routes: routes.to_vec(),
        credit,
        hints: hints_in,
        verdicts,
        receipts: verdicts_in.downgrade(),
        held: HashMap::new(),
        last: 0,
    };
    attend::start(link, desk).await?;
    Ok(Box::new(RabbitInbox { hints, _verdicts: verdicts_in }))
}

#[derive(Debug)]
struct RabbitInbox {
    hints: mpsc::Receiver<Delivery>,
    _verdicts: mpsc::UnboundedSender<Verdict>,
}

#[async_trait]
impl Inbox for RabbitInbox {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        Ok(self.hints.recv().await)
    }
}

/// What becomes of a hint, by the number that the desk gave it.
#[derive(Debug)]
enum Verdict {
    Done(u64, oneshot::Sender<bool>),
    Return(u64),
}

#[derive(Debug)]
struct RabbitReceipt {
    number: u64,
    verdicts: Option<mpsc::UnboundedSender<Verdict>>,
}

#[async_trait]
impl Receipt for RabbitReceipt {
    async fn ack(mut self: Box<Self>) -> Result<()> {
        let (tell, told) = oneshot::channel();
        if let Some(verdicts) = self.verdicts.take() {
            let _ = verdicts.send(Verdict::Done(self.number, tell));
        }
        if told.await == Ok(true) {
            return Ok(());
        }
        let message =
            "the connection to RabbitMQ was lost before a hint was acknowledged; it comes again";
        Err(Error::new(ErrorKind::Unavailable, message).with_op("ack"))
    }
}

impl Drop for RabbitReceipt {
    fn drop(&mut self) {
        if let Some(verdicts) = self.verdicts.take() {
            let _ = verdicts.send(Verdict::Return(self.number));
        }
    }
}

/// What the consumers of a channel bring, one stream a route; each says `None` when the broker has ended it.
struct Consumers {
    tags: Vec<ShortString>,
    streams: SelectAll<BoxStream<'static, Option<lapin::Result<lapin::message::Delivery>>>>,
}

/// Hands the hints of a channel out, one at a time, and takes verdicts back.
struct Desk {
    link: Arc<Link>,
    client: ClientName,
    routes: Vec<Route>,
    credit: u16,
    hints: mpsc::Sender<Delivery>,
    verdicts: mpsc::UnboundedReceiver<Verdict>,
    receipts: mpsc::WeakUnboundedSender<Verdict>,
    /// Hints that were handed out, by number.
    held: HashMap<u64, Acker>,
    last: u64,
}

impl Listener for Desk {
    const OP: &'static str = "consume";

    async fn serve(&mut self, session: &Session, ready: &mut Ready) -> lapin::Result<()> {
        let (channel, mut consumers) = self.listen(session).await?;
        ready.yes();
        let mut open = true;
        loop {
            let room = self.held.len() < usize::from(self.credit);
            tokio::select! {
                biased;
                verdict = self.verdicts.recv() => {
                    let Some(verdict) = verdict else {
                        topology::close(&channel).await;
                        return Ok(());
                    };
                    self.judge(verdict).await?;
                }
                () = self.hints.closed(), if open => {
                    open = false;
                    hand_back(&channel, &mut consumers).await?;
                }
                delivery = consumers.streams.next(), if open && room => match delivery.flatten() {
                    Some(delivery) => self.hand_out(delivery?).await?,
                    None => return Err(ended()),
                },
            }
        }
    }

    fn void(&mut self) {
        self.held.clear();
    }

    async fn until_unwanted(&mut self) {
        while self.verdicts.recv().await.is_some() {}
    }
}

impl Desk {
    async fn listen(&self, session: &Session) -> lapin::Result<(Channel, Consumers)> {
        for route in &self.routes {
            self.link.declare(session, route).await?;
        }
        let channel = session.create_channel().await?;
        channel.basic_qos(self.credit, BasicQosOptions::default()).await?;
        let mut consumers = Consumers { tags: Vec::new(), streams: SelectAll::new() };
        for route in &self.routes {
            let queue = self.link.names().queue(route);
            let tag = format!("{}.{}", self.client, consumers.tags.len());
            let options = BasicConsumeOptions::default();
            let none = FieldTable::default();
            let consumer = channel.basic_consume(queue.into(), tag.into(), options, none).await;
            match consumer {
                Ok(consumer) => {
                    consumers.tags.push(consumer.tag());
                    let end = stream::once(std::future::ready(None));
                    consumers.streams.push(consumer.map(Some).chain(end).boxed());
                }
                Err(e) => {
                    // It may have been deleted since: the next try declares it.
                    session.declared().remove(route);
                    return Err(e);
                }
            }
        }
        Ok((channel, consumers))
    }

    async fn hand_out(&mut self, delivery: lapin::message::Delivery) -> lapin::Result<()> {
        let hint = Hint::decode(&delivery.data).and_then(|hint| {
            if self.routes.contains(&hint.route) {
                return Ok(hint);
            }
            Err(Error::invalid(format!("it is a hint for the route {}", hint.route)))
        });
        let hint = match hint {
            Ok(hint) => hint,
            Err(why) => {
                self.link.count_foreign(delivery.routing_key.as_str(), &why);
                return delivery.reject(BasicRejectOptions { requeue: false }).await.map(drop);
            }
        };
        let Some(verdicts) = self.receipts.upgrade() else { return Ok(()) };
        self.last += 1;
        self.held.insert(self.last, delivery.acker.clone());
        let receipt = RabbitReceipt { number: self.last, verdicts: Some(verdicts) };
        // There is room for all that credit allows; where the inbox is gone, the dropped receipt gives the hint back.
        let _ = self.hints.try_send(Delivery { hint, receipt: Box::new(receipt) });
        Ok(())
    }

    async fn judge(&mut self, verdict: Verdict) -> lapin::Result<()> {
        match verdict {
            Verdict::Done(number, tell) => {
                let Some(acker) = self.held.remove(&number) else { return Ok(()) };
                let done = acker.ack(BasicAckOptions::default()).await?;
                let _ = tell.send(done);
            }
            Verdict::Return(number) => {
                if let Some(acker) = self.held.remove(&number) {
                    acker.nack(returned()).await?;
                }
            }
        }
        Ok(())
    }
}

/// Stops consuming and gives back what the broker has delivered ahead.
async fn hand_back(channel: &Channel, consumers: &mut Consumers) -> lapin::Result<()> {
    for tag in consumers.tags.drain(..) {
        channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
    }
    while let Some(delivery) = consumers.streams.next().await {
        if let Some(delivery) = delivery {
            delivery?.nack(returned()).await?;
        }
    }
    Ok(())
}

fn returned() -> BasicNackOptions {
    BasicNackOptions { requeue: true, ..BasicNackOptions::default() }
}
