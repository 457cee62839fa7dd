// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.stress;

import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/**
 * Barrier pair [C]: a driver makes a buffer available while the device asks for notifications and
 * then sleeps. First figure: whether the driver notifies; second: whether the device sleeps.
 */
@Outcome(
    id = {"1, 1", "1, 0", "0, 0"},
    expect = Expect.ACCEPTABLE,
    desc = "The device is notified, or has seen the buffer, or both.")
@Outcome(
    id = "0, 1",
    expect = Expect.FORBIDDEN,
    desc = "The device sleeps beside an available buffer, and no notification comes.")
public class AvailableNotification {
  private AvailableNotification() {}

  /** By avail_event. */
  @JCStressTest
  @JCStressMeta(AvailableNotification.class)
  @State
  public static class ByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.EVENT_IDX);

    /** Makes a buffer available. */
    @Actor
    public void driver(II_Result result) {
      result.r1 = rings.driverOffers(1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void device(II_Result result) {
      result.r2 = rings.deviceMaySleep() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** By VIRTQ_USED_F_NO_NOTIFY. */
  @JCStressTest
  @JCStressMeta(AvailableNotification.class)
  @State
  public static class ByFlags {
    private final Rings rings = Rings.take(Rings.Format.FLAGS);

    /** Makes a buffer available. */
    @Actor
    public void driver(II_Result result) {
      result.r1 = rings.driverOffers(1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void device(II_Result result) {
      result.r2 = rings.deviceMaySleep() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: by the descriptor offset and wrap counter of the Device Area. */
  @JCStressTest
  @JCStressMeta(AvailableNotification.class)
  @State
  public static class PackedByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.PACKED_EVENT_IDX);

    /** Makes a buffer available. */
    @Actor
    public void driver(II_Result result) {
      result.r1 = rings.driverOffers(1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void device(II_Result result) {
      result.r2 = rings.deviceMaySleep() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: by the flags of the Device Area. */
  @JCStressTest
  @JCStressMeta(AvailableNotification.class)
  @State
  public static class PackedByFlags {
    private final Rings rings = Rings.take(Rings.Format.PACKED_FLAGS);

    /** Makes a buffer available. */
    @Actor
    public void driver(II_Result result) {
      result.r1 = rings.driverOffers(1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void device(II_Result result) {
      result.r2 = rings.deviceMaySleep() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }
}
