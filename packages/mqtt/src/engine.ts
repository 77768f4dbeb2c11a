// SPDX-License-Identifier: Apache-2.0
// The only file that knows aedes' inner workings: what it leaves out of its types, and what it must not do for us.
import { Aedes, type AedesOptions, type AedesPublishPacket, type Client, type PublishPacket } from "aedes";

export type { Client, PublishPacket };

type Done = (error?: Error | null) => void;

/**
 * aedes without its message routing.
 *
 * Nobody may subscribe to what devices publish, and commands go straight to the one device they are for. So a device's
 * message ends here, after the host took it; routing would only cost time, and let one frozen subscriber hold up all.
 */
export class Engine extends Aedes {
  constructor(options: AedesOptions) {
    super({ ...options, mq: silent });
  }

  // aedes calls publish(packet, client, done) for devices, wills and its own $SYS notices.
  override publish(_packet: PublishPacket, clientOrDone: unknown, done?: Done): void {
    const end = typeof clientOrDone === "function" ? (clientOrDone as Done) : done;
    end?.(null);
  }

  /** The packet with the broker's running number, by which a connection tells a repetition from a new message. */
  stamped(packet: PublishPacket): AedesPublishPacket {
    const { counter } = this as unknown as { counter: number };
    (this as unknown as { counter: number }).counter = counter + 1;
    return { ...packet, brokerId: this.id, brokerCounter: counter + 1 };
  }
}

/** The place of aedes' message bus: subscriptions are kept by client and by session, and that is all we use. */
const silent = {
  on(_topic: string, _notify: unknown, done?: Done): unknown {
    if (done !== undefined) {
      setImmediate(done);
    }
    return silent;
  },
  removeListener(_topic: string, _notify: unknown, done?: Done): unknown {
    if (done !== undefined) {
      setImmediate(done);
    }
    return silent;
  },
  emit(_packet: unknown, done?: Done): unknown {
    done?.(null);
    return silent;
  },
  close(done: () => void): void {
    setImmediate(done);
  },
};

/** A connection's subscriptions, by filter. */
export function subscriptionsOf(client: Client): { readonly topic: string; readonly qos: number }[] {
  const { subscriptions } = client as unknown as { subscriptions: Record<string, { qos: number }> };
  return Object.entries(subscriptions).map(([topic, { qos }]) => ({ topic, qos }));
}

/** An error that aedes answers with a CONNACK return code (MQTT 3.1.1 section 3.2.2.3). */
export function refusal(reason: string, returnCode: 2 | 3 | 4 | 5): Error & { returnCode: number } {
  return Object.assign(new Error(reason), { returnCode });
}
