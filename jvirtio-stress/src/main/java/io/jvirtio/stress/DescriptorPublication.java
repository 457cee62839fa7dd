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
 * Barrier pair [A]: a device that sees the available idx (split), or the flags of a batch's first
 * descriptor (packed), sees what the driver wrote before: the entries of the available ring, the
 * descriptors, indirect tables and the payload. The driver makes two buffers available and
 * publishes them together.
 */
@Outcome(id = "0", expect = Expect.ACCEPTABLE, desc = "The device was there before the driver.")
@Outcome(id = "2", expect = Expect.ACCEPTABLE, desc = "The device saw both buffers, whole.")
@Outcome(id = "1", expect = Expect.FORBIDDEN, desc = "Half of what was published together.")
@Outcome(
    id = "-1",
    expect = Expect.FORBIDDEN,
    desc = "The device saw a buffer that is not what the driver wrote.")
public class DescriptorPublication {
  private DescriptorPublication() {}

  /** Chains in the descriptor table. */
  @JCStressTest
  @JCStressMeta(DescriptorPublication.class)
  @State
  public static class Direct {
    private final Rings rings = Rings.take(Rings.Format.EVENT_IDX);

    /** Adds and publishes. */
    @Actor
    public void driver() {
      rings.driverOffers(2);
    }

    /** Looks once. */
    @Actor
    public void device(I_Result result) {
      result.r1 = rings.deviceTakes(2);
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** A chain and an indirect table. */
  @JCStressTest
  @JCStressMeta(DescriptorPublication.class)
  @State
  public static class Indirect {
    private final Rings rings = Rings.take(Rings.Format.INDIRECT);

    /** Adds and publishes. */
    @Actor
    public void driver() {
      rings.driverOffers(2);
    }

    /** Looks once. */
    @Actor
    public void device(I_Result result) {
      result.r1 = rings.deviceTakes(2);
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: chains in the descriptor ring. */
  @JCStressTest
  @JCStressMeta(DescriptorPublication.class)
  @State
  public static class PackedDirect {
    private final Rings rings = Rings.take(Rings.Format.PACKED_EVENT_IDX);

    /** Adds and publishes. */
    @Actor
    public void driver() {
      rings.driverOffers(2);
    }

    /** Looks once. */
    @Actor
    public void device(I_Result result) {
      result.r1 = rings.deviceTakes(2);
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }

  /** Packed: indirect tables. */
  @JCStressTest
  @JCStressMeta(DescriptorPublication.class)
  @State
  public static class PackedIndirect {
    private final Rings rings = Rings.take(Rings.Format.PACKED_INDIRECT);

    /** Adds and publishes. */
    @Actor
    public void driver() {
      rings.driverOffers(2);
    }

    /** Looks once. */
    @Actor
    public void device(I_Result result) {
      result.r1 = rings.deviceTakes(2);
    }

    /** Ends the state. */
    @Arbiter
    public void end() {
      rings.giveBack();
    }
  }
}
