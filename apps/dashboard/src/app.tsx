// SPDX-License-Identifier: Apache-2.0
// The frame around every page: where one is, whether it is live, and what needs a person.
import type { FleetView, RolloutSummaryView } from "@coalmine/api";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { onTokenNeeded, Problem, session, signOut } from "./api.ts";
import { feed } from "./feed.ts";
import { type Live, useConnection, useLive } from "./live.ts";
import { AuditPage } from "./pages/audit.tsx";
import { CrashPage } from "./pages/crash.tsx";
import { CrashesPage } from "./pages/crashes.tsx";
import { DevicePage } from "./pages/device.tsx";
import { FleetPage } from "./pages/fleet.tsx";
import { MembersPage } from "./pages/members.tsx";
import { PlanPage } from "./pages/plan.tsx";
import { ReleasePage } from "./pages/release.tsx";
import { ReleasesPage } from "./pages/releases.tsx";
import { RolloutPage } from "./pages/rollout.tsx";
import { RolloutsPage } from "./pages/rollouts.tsx";
import { WayBackPage } from "./pages/way-back.tsx";
import { Empty, Icon, Trouble } from "./parts.tsx";
import { link, type Place, usePlace } from "./router.ts";
import { SignIn } from "./sign-in.tsx";
import { ago, count, exactMoment } from "./words.ts";

const pages: readonly (readonly [path: string, title: string])[] = [
  ["", "Fleet"],
  ["rollouts", "Rollouts"],
  ["plan", "Plan"],
  ["crashes", "Crashes"],
  ["releases", "Releases"],
  ["audit", "Audit"],
];

/** Pages that belong to one of these. */
const within: Readonly<Record<string, string>> = { devices: "", "way-back": "releases" };

type Access = "asking" | "open" | "closed";

export function App(): JSX.Element {
  const [access, setAccess] = useState<Access>("asking");
  const [tokenNeeded, setTokenNeeded] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const ask = (): void => {
    setProblem(undefined);
    session().then(
      ({ open, tokenNeeded: needed }) => {
        setTokenNeeded(needed);
        setAccess(open ? "open" : "closed");
      },
      (error: unknown) => setProblem(error instanceof Problem ? error : new Problem(0, "page/bug", String(error))),
    );
  };
  useEffect(() => {
    onTokenNeeded(() => setAccess("closed"));
    ask();
  }, []);
  if (access === "open") {
    const leave = (): void => void signOut().finally(() => setAccess("closed"));
    return <Shell {...(tokenNeeded ? { leave } : {})} />;
  }
  if (access === "closed") {
    return <SignIn onOpen={() => setAccess("open")} />;
  }
  return <main class="alone">{problem === undefined ? <p role="status">Asking the orchestrator …</p> : <Trouble problem={problem} again={ask} />}</main>;
}

function Shell({ leave }: { readonly leave?: () => void }): JSX.Element {
  const place = usePlace();
  const fleet = useLive<FleetView>("/fleet");
  const main = useRef<HTMLElement>(null);
  const [first = ""] = place.parts;
  const title = pages.find(([path]) => path === (within[first] ?? first))?.[1] ?? "coalmine";
  useEffect(() => feed.start(), []);
  useEffect(() => {
    document.title = `${place.parts.slice(1).join(" ")} ${title} – coalmine`.trim();
  }, [title, place.parts.join("/")]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>
        Skip to the page
      </a>
      <header class="top">
        <a class="brand" href="#/">
          <img src="/favicon.svg" alt="" width="24" height="24" />
          coalmine
        </a>
        <nav aria-label="Pages">
          {pages.map(([path, name]) => (
            <a key={path} href={`#/${path}`} aria-current={path === (within[first] ?? first) ? "page" : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <Pulse now={fleet.data?.now} {...(leave === undefined ? {} : { leave })} />
      </header>
      <Away />
      <Alarm rollouts={fleet.data?.rollouts ?? []} now={fleet.data?.now} at={first === "rollouts" ? place.parts[1] : undefined} />
      <main ref={main} id="main" tabIndex={-1}>
        <Page place={place} fleet={fleet} />
      </main>
    </>
  );
}

function Page({ place, fleet }: { readonly place: Place; readonly fleet: Live<FleetView> }): JSX.Element {
  const [first = "", second, third] = place.parts;
  switch (first) {
    case "":
      return <FleetPage fleet={fleet} query={place.query} />;
    case "rollouts":
      return second === undefined ? <RolloutsPage /> : third === "members" ? <MembersPage id={second} query={place.query} /> : <RolloutPage key={second} id={second} />;
    case "devices":
      return second === undefined ? <FleetPage fleet={fleet} query={place.query} /> : <DevicePage key={second} id={second} />;
    case "plan":
      return <PlanPage query={place.query} />;
    case "crashes":
      return second === undefined ? <CrashesPage query={place.query} fleet={fleet.data} /> : <CrashPage key={second} id={second} fleet={fleet.data} />;
    case "releases":
      return second === undefined ? <ReleasesPage fleet={fleet.data} /> : <ReleasePage key={second} id={second} fleet={fleet.data} />;
    case "way-back":
      return <WayBackPage query={place.query} />;
    case "audit":
      return <AuditPage query={place.query} />;
    default:
      return (
        <Empty title="There is no such page.">
          <a href="#/">Go to the fleet</a>
        </Empty>
      );
  }
}

/** Whether what is shown is up to date, and the orchestrator's clock. */
function Pulse({ now, leave }: { readonly now: string | undefined; readonly leave?: () => void }): JSX.Element {
  const connection = useConnection();
  const words = { live: "live", connecting: "connecting", lost: "not live" }[connection];
  return (
    <div class="pulse">
      <span class={`connection ${connection}`} role="status">
        <i aria-hidden="true" />
        {words}
      </span>
      {now === undefined ? null : <time dateTime={now} title="the orchestrator's clock">{exactMoment(now)}</time>}
      {leave === undefined ? null : (
        <button type="button" class="quiet" onClick={leave}>
          Sign out
        </button>
      )}
    </div>
  );
}

/** While nothing answers: since when, and that what is shown is old. */
function Away(): JSX.Element | null {
  if (useConnection() !== "lost") {
    return null;
  }
  return (
    <div class="alarm away" role="alert">
      <Icon name="warn" />
      <span>
        <strong>The orchestrator has not answered since {exactMoment(feed.since)}.</strong> What is shown is from before; orders cannot be given. It is tried again by itself. Devices go on without it.
      </span>
      <button type="button" class="quiet go" onClick={() => feed.tryNow()}>
        Try now
      </button>
    </div>
  );
}

/** On every page: rollouts that stopped and wait for a person. */
function Alarm({ rollouts, now, at }: { readonly rollouts: readonly RolloutSummaryView[]; readonly now: string | undefined; readonly at: string | undefined }): JSX.Element | null {
  const stopped = rollouts.filter(({ id, status }) => (status === "halted" || status === "held") && id !== at);
  if (stopped.length === 0) {
    return null;
  }
  return (
    <div class="alarms" role="alert">
      {stopped.map((rollout) => (
        <a key={rollout.id} class={`alarm ${rollout.status === "halted" ? "bad" : "warn"}`} href={link(["rollouts", rollout.id])}>
          <Icon name={rollout.status === "halted" ? "bad" : "hold"} />
          <span>
            <strong>
              Release {rollout.release} {rollout.status === "halted" ? "was halted" : "is on hold"}
            </strong>
            {rollout.haltedBy === null ? "" : ` by ${rollout.haltedBy.gate}`}
            {rollout.endedAt === null ? "" : ` ${ago(rollout.endedAt, now)}`}: {count(rollout.exposed)} of {count(rollout.population)} devices exposed.
          </span>
          <span class="go">See what to do</span>
        </a>
      ))}
    </div>
  );
}
