// SPDX-License-Identifier: Apache-2.0
import type { AuditPageView } from "@coalmine/api";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, Problem } from "../api.ts";
import { useLive } from "../live.ts";
import { Card, Empty, Table, Trouble, Wait } from "../parts.tsx";
import { link } from "../router.ts";
import { count, exactMoment } from "../words.ts";

type Line = AuditPageView["records"][number];

/** Every change with who, when and why; the newest first. */
export function AuditPage({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const filter = Object.fromEntries((["rollout", "device", "type"] as const).flatMap((name) => (query.get(name) === null ? [] : [[name, query.get(name) as string]])));
  const every = query.get("every") === "true" || filter["device"] !== undefined;
  const asked = new URLSearchParams({ ...filter, limit: "100", brief: String(!every) }).toString();
  const { data, problem, again } = useLive<AuditPageView>(`/audit?${asked}`);
  const [older, setOlder] = useState<{ readonly records: readonly Line[]; readonly next: number | null }>();
  const [trouble, setTrouble] = useState<Problem>();
  const [verified, setVerified] = useState<string>();
  useEffect(() => setOlder(undefined), [asked]);
  if (data === undefined) {
    return <Wait problem={problem} again={again} />;
  }
  const next = older === undefined ? data.next : older.next;
  const run = (work: () => Promise<void>): void => {
    setTrouble(undefined);
    work().catch((error: unknown) => setTrouble(error instanceof Problem ? error : new Problem(0, "page/bug", String(error))));
  };
  const more = async (): Promise<void> => {
    const { data: page } = await get<AuditPageView>(`/audit?${asked}&before=${next}`);
    setOlder({ records: [...(older?.records ?? []), ...page.records], next: page.next });
  };
  const verify = async (): Promise<void> => {
    setVerified("Verifying the whole log …");
    const { data: result } = await get<{ readonly ok: boolean; readonly entries: number; readonly sha256: string | null; readonly reason: string | null; readonly brokenAt: number | null }>("/audit/verify");
    setVerified(result.ok ? `The chain holds over ${count(result.entries)} entries, SHA-256 ${result.sha256?.slice(0, 16)} …` : `The chain is broken at entry ${result.brokenAt}: ${result.reason}`);
  };
  const lines = [...new Map([...data.records, ...(older?.records ?? [])].map((line) => [line.sequence, line])).values()].sort((a, b) => b.sequence - a.sequence);
  return (
    <>
      <h1>Audit</h1>
      <Card
        title="Every change"
        aside={
          <button type="button" class="quiet" onClick={() => run(verify)}>
            Verify the chain
          </button>
        }
      >
        <p role="status">{verified ?? ""}</p>
        <nav class="filters" aria-label="Filters">
          {Object.entries(filter).map(([name, value]) => (
            <a key={name} class="chip" href={link(["audit"], { ...filter, [name]: undefined })} aria-label={`Remove the filter ${name} ${value}`}>
              {name}: {value} <span aria-hidden="true">×</span>
            </a>
          ))}
          {filter["device"] !== undefined ? null : every ? <a href={link(["audit"], filter)}>Leave out single devices</a> : <a href={link(["audit"], { ...filter, every: "true" })}>With every offer and move of single devices</a>}
        </nav>
        {trouble === undefined ? null : <Trouble problem={trouble} />}
        {lines.length === 0 ? (
          <Empty title="Nothing yet." />
        ) : (
          <Table
            label="Audit"
            stacked
            columns={[{ title: "at" }, { title: "what" }, { title: "by" }, { title: "about" }, { title: "why" }]}
            rows={lines.map((line) => [
              <time key="at" dateTime={line.at} class="nowrap">
                {exactMoment(line.at)}
              </time>,
              <span key="what" class="nowrap">{line.type.replaceAll("-", " ")}</span>,
              line.by,
              <About key="about" line={line} />,
              line.reason,
            ])}
          />
        )}
        {next === null ? null : (
          <button type="button" class="quiet" onClick={() => run(more)}>
            Earlier
          </button>
        )}
      </Card>
    </>
  );
}

function About({ line }: { readonly line: Line }): JSX.Element {
  const release = line.detail["release"];
  return (
    <>
      {line.rollout === null ? null : <a href={link(["rollouts", line.rollout])}>{line.rollout}</a>} {line.device === null ? null : <a href={link(["devices", line.device])}>{line.device}</a>}{" "}
      {line.rollout === null && typeof release === "string" ? <a href={link(["releases", release])}>{release}</a> : null}
    </>
  );
}
