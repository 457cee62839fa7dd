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
 * Barrier pair [D], the enable race: a device gives a buffer back while the driver enables its
 * callback and then sleeps. First figure: whether the device notifies; second: whether the driver
 * sleeps.
 */
@Outcome(
    id = {"1, 1", "1, 0", "0, 0"},
    expect = Expect.ACCEPTABLE,
    desc = "The driver is notified, or has seen the used buffer, or both.")
@Outcome(
    id = "0, 1",
    expect = Expect.FORBIDDEN,
    desc = "The driver sleeps beside a used buffer, and no notification comes.")
public class UsedNotification {
  private UsedNotification() {}

  /** The enable, by used_event. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class EnableByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.EVENT_IDX).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleep() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** The enable, by VIRTQ_AVAIL_F_NO_INTERRUPT. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class EnableByFlags {
    private final Rings rings = Rings.take(Rings.Format.FLAGS).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleep() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** The enable in two halves, by used_event. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PreparedByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.EVENT_IDX).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepPrepared() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** The enable in two halves, by VIRTQ_AVAIL_F_NO_INTERRUPT. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PreparedByFlags {
    private final Rings rings = Rings.take(Rings.Format.FLAGS).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepPrepared() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** The delayed enable, by used_event: all four buffers come back, one after the other. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class DelayedByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.EVENT_IDX).inHands(Rings.BUFFERS);

    /** Gives them back. */
    @Actor
    public void device(II_Result result) {
      boolean notified = false;
      for (int i = 0; i < Rings.BUFFERS; i++) {
        notified |= rings.deviceGivesBack(i, i + 1);
      }
      result.r1 = notified ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepDelayed() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** The delayed enable, by VIRTQ_AVAIL_F_NO_INTERRUPT: as the plain one. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class DelayedByFlags {
    private final Rings rings = Rings.take(Rings.Format.FLAGS).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepDelayed() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /**
   * The callback is enabled, one buffer came back, a second one does while the driver takes the
   * first and looks for another.
   */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class GetWhileEnabled {
    private final Rings rings = Rings.take(Rings.Format.EVENT_IDX).inFlightWithCallback();

    /** Gives the second one back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(1, 2) ? 1 : 0;
    }

    /** Takes until there is no more, and sleeps. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverTakes(2) == 1 ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: the enable, by the descriptor offset and wrap counter of the Driver Area. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PackedEnableByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.PACKED_EVENT_IDX).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleep() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: the enable, by the flags of the Driver Area. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PackedEnableByFlags {
    private final Rings rings = Rings.take(Rings.Format.PACKED_FLAGS).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleep() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: the enable in two halves, by descriptor offset and wrap counter. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PackedPreparedByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.PACKED_EVENT_IDX).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepPrepared() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: the enable in two halves, by flags. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PackedPreparedByFlags {
    private final Rings rings = Rings.take(Rings.Format.PACKED_FLAGS).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepPrepared() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: the delayed enable; the offset it asks for is that of no used descriptor. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PackedDelayedByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.PACKED_EVENT_IDX).inHands(Rings.BUFFERS);

    /** Gives them back. */
    @Actor
    public void device(II_Result result) {
      boolean notified = false;
      for (int i = 0; i < Rings.BUFFERS; i++) {
        notified |= rings.deviceGivesBack(i, i + 1);
      }
      result.r1 = notified ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepDelayed() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: the delayed enable, by flags: as the plain one. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PackedDelayedByFlags {
    private final Rings rings = Rings.take(Rings.Format.PACKED_FLAGS).inHands(1);

    /** Gives a buffer back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepDelayed() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: one buffer came back, and a second one does while the driver looks for another. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PackedGetWhileEnabled {
    private final Rings rings = Rings.take(Rings.Format.PACKED_EVENT_IDX).inFlightWithCallback();

    /** Gives the second one back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(1, 2) ? 1 : 0;
    }

    /** Takes until there is no more, and sleeps. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverTakes(2) == 1 ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** The delayed enable with one buffer in flight, so that nothing is between it and the race. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class DelayedOneByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.EVENT_IDX).inHands(1);

    /** Gives it back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepDelayed() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: the delayed enable with one buffer in flight. */
  @JCStressTest
  @JCStressMeta(UsedNotification.class)
  @State
  public static class PackedDelayedOneByEventIdx {
    private final Rings rings = Rings.take(Rings.Format.PACKED_EVENT_IDX).inHands(1);

    /** Gives it back. */
    @Actor
    public void device(II_Result result) {
      result.r1 = rings.deviceGivesBack(0, 1) ? 1 : 0;
    }

    /** Wants to sleep. */
    @Actor
    public void driver(II_Result result) {
      result.r2 = rings.driverMaySleepDelayed() ? 1 : 0;
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }
}
