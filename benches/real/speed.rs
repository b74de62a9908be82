//! Workflows at home: one alone, many at once, a chain and a fan-out.

use std::time::Duration;

use serde_json::Value;

use crate::{
    bars::Bars,
    place::{Place, pod, tasks, workflow},
};

/// One after the other, for the median.
const ALONE: usize = 20;
/// At once.
const MANY: usize = 1000;
/// Pods one after the other.
const CHAIN: usize = 100;
/// Pods at once.
const FAN_OUT: usize = 1000;
/// What the pods of a chain take by themselves.
const POD_TIME: Duration = Duration::from_millis(150);

/// Measures it.
pub async fn run(bars: &mut Bars) -> anyhow::Result<()> {
    let place = Place::<1>::start(0).await?;
    place.run(vec![one("warm")]).await?;

    let before = place.writes(0).len();
    let mut alone = Vec::new();
    for index in 0..ALONE {
        alone.push(place.run(vec![one(&format!("alone-{index}"))]).await?);
    }
    alone.sort();
    let median = alone[ALONE / 2].as_secs_f64();
    println!("one pod: {median:.3} s in the median of {ALONE}, of which 0.15 s are the pod's");
    bars.judge("one pod in 0.25 s", median <= 0.25);
    let writes = place.writes(0).split_off(before);
    let (events, others): (Vec<_>, Vec<_>) = writes.iter().partition(|entry| entry.resource == "events");
    let per_workflow = |count: usize| count as f64 / ALONE as f64;
    let (events, others) = (per_workflow(events.len()), per_workflow(others.len()));
    println!("writes of one workflow: {others:.2}, and {events:.2} Events");
    bars.judge("3 writes and 1 Event a workflow", others <= 3.0 && events <= 1.0);

    let before = place.cpu_time()?;
    let time = place.run((0..MANY).map(|index| one(&format!("many-{index}"))).collect()).await?;
    let cpu = (place.cpu_time()? - before).as_secs_f64() * 1000.0 / MANY as f64;
    let a_minute = MANY as f64 / time.as_secs_f64() * 60.0;
    println!(
        "{MANY} at once: {:.1} s, {a_minute:.0} a minute, {cpu:.2} ms of CPU each; {:.0} MB afterwards",
        time.as_secs_f64(),
        place.memory()?
    );
    bars.judge("4,000 workflows a minute", a_minute >= 4000.0);
    bars.judge("2 ms of CPU a workflow", cpu <= 2.0);

    let before = place.cpu_time()?;
    let time = place.run(vec![many_pods("chain", CHAIN, true)]).await?;
    let step = time.saturating_sub(POD_TIME * CHAIN as u32).as_secs_f64() / CHAIN as f64;
    let cpu = (place.cpu_time()? - before).as_secs_f64();
    let seconds = time.as_secs_f64();
    println!("chain of {CHAIN}: {seconds:.1} s, {step:.3} s a step beside its pod; {cpu:.2} s of CPU");
    bars.judge("a chain of 100 in 17 s", seconds <= 17.0);
    bars.judge("0.05 s a step beside its pod", step <= 0.05);

    let before = place.cpu_time()?;
    let seconds = place.run(vec![many_pods("fan-out", FAN_OUT, false)]).await?.as_secs_f64();
    let cpu = (place.cpu_time()? - before).as_secs_f64();
    println!("fan-out of {FAN_OUT}: {seconds:.1} s, {cpu:.2} s of CPU");
    bars.judge("a fan-out of 1,000 in 10 s", seconds <= 10.0);
    bars.judge("a fan-out of 1,000 with 1 s of CPU", cpu <= 1.0);
    Ok(())
}

fn one(name: &str) -> Value {
    workflow(name, &[pod("main", None, "argoproj/argosay:v2")])
}

fn many_pods(name: &str, count: usize, is_chain: bool) -> Value {
    workflow(name, &[tasks("main", "pod", count, is_chain), pod("pod", None, "argoproj/argosay:v2")])
}
