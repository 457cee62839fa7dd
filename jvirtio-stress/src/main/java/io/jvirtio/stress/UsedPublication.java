// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.stress;

import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.I_Result;

/**
 * Barrier pair [B]: a driver that sees the used idx (split), or the flags of a batch's first used
 * descriptor (packed), sees the ids, the lengths and the payload that the device wrote before. The
 * device pushes two buffers and publishes them together.
 */
@Outcome(id = "0", expect = Expect.ACCEPTABLE, desc = "The driver was there before the device.")
@Outcome(id = "2", expect = Expect.ACCEPTABLE, desc = "The driver got both buffers, whole.")
@Outcome(id = "1", expect = Expect.FORBIDDEN, desc = "Half of what was published together.")
@Outcome(
    id = "-1",
    expect = Expect.FORBIDDEN,
    desc = "The driver got an id, a length or a payload that the device did not write.")
public class UsedPublication {
  private UsedPublication() {}

  /** A used ring. */
  @JCStressTest
  @JCStressMeta(UsedPublication.class)
  @State
  public static class Split {
    private final Rings rings = Rings.take(Rings.Format.EVENT_IDX).inHands(2);

    /** Fills, pushes and publishes. */
    @Actor
    public void device() {
      rings.deviceGivesBack(0, 2);
    }

    /** Looks once. */
    @Actor
    public void driver(I_Result result) {
      result.r1 = rings.driverTakes(2);
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: used descriptors lie apart, as far as the chains are long. */
  @JCStressTest
  @JCStressMeta(UsedPublication.class)
  @State
  public static class PackedDirect {
    private final Rings rings = Rings.take(Rings.Format.PACKED_EVENT_IDX).inHands(2);

    /** Fills, pushes and publishes. */
    @Actor
    public void device() {
      rings.deviceGivesBack(0, 2);
    }

    /** Looks once. */
    @Actor
    public void driver(I_Result result) {
      result.r1 = rings.driverTakes(2);
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: used descriptors lie one behind the other. */
  @JCStressTest
  @JCStressMeta(UsedPublication.class)
  @State
  public static class PackedIndirect {
    private final Rings rings = Rings.take(Rings.Format.PACKED_INDIRECT).inHands(2);

    /** Fills, pushes and publishes. */
    @Actor
    public void device() {
      rings.deviceGivesBack(0, 2);
    }

    /** Looks once. */
    @Actor
    public void driver(I_Result result) {
      result.r1 = rings.driverTakes(2);
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }
}
