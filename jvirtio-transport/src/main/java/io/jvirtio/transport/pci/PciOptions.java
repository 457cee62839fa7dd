// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.util.Objects;
import java.util.concurrent.ExecutorService;

/**
 * What a {@link PciFunction} is like. Immutable.
 *
 * @param profile which interfaces there are
 * @param ringFeatures the reserved feature bits to offer
 * @param msixVectors how many vectors of MSI-X there are, to 2048; 0 for no MSI-X, {@link
 *     #PER_QUEUE} for one for each queue and one for the configuration
 * @param externalMsix whether table, masks and pending bits of MSI-X are kept by whoever the
 *     interrupts go to
 * @param bigEndianGuest whether drivers of the legacy interface are big-endian
 * @param subsystemVendor the subsystem vendor id, 16 bits
 * @param subsystem the subsystem id, 16 bits, of a device without the legacy interface, where 0
 *     stands for its device id; the legacy interface needs the type there
 * @param notifyMultiplier bytes between the notification registers of two queues: a power of two, 4
 *     to 65536, or 0 for one register for all; 2 as well where VIRTIO_F_NOTIFICATION_DATA is not
 *     offered
 * @param resets where a reset goes on that takes longer than a register write may, and until then
 *     the driver does not see it done; it stays the caller's, and must run what it is given. null
 *     to wait within the write, however long
 */
public record PciOptions(
    PciProfile profile,
    FeatureBits ringFeatures,
    int msixVectors,
    boolean externalMsix,
    boolean bigEndianGuest,
    int subsystemVendor,
    int subsystem,
    int notifyMultiplier,
    ExecutorService resets) {
  /** As many vectors of MSI-X as queues, and one more. */
  public static final int PER_QUEUE = -1;

  private static final int MAX_VECTORS = 2048;
  private static final int MAX_MULTIPLIER = 1 << 16;

  /** Checks what can be checked here. */
  public PciOptions {
    Objects.requireNonNull(profile);
    if (profile != PciProfile.LEGACY && !ringFeatures.has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      throw new IllegalArgumentException("only a legacy device does not offer VIRTIO_F_VERSION_1");
    }
    if (bigEndianGuest && profile == PciProfile.MODERN) {
      throw new IllegalArgumentException("only the legacy interface can be big-endian");
    }
    if (msixVectors < PER_QUEUE || msixVectors > MAX_VECTORS) {
      throw new IllegalArgumentException(msixVectors + " vectors");
    }
    boolean data = ringFeatures.has(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA);
    boolean power = Integer.bitCount(notifyMultiplier) == 1 && notifyMultiplier <= MAX_MULTIPLIER;
    if (notifyMultiplier != 0 && (!power || notifyMultiplier < (data ? 4 : 2))) {
      throw new IllegalArgumentException("notification multiplier " + notifyMultiplier);
    }
    if (subsystemVendor >>> 16 != 0 || subsystem >>> 16 != 0) {
      throw new IllegalArgumentException("subsystem " + subsystemVendor + ":" + subsystem);
    }
    if (subsystem != 0 && profile != PciProfile.MODERN) {
      throw new IllegalArgumentException("the subsystem id tells legacy drivers the type");
    }
  }

  /** Modern, with all ring features, a vector for each queue, and one for the configuration. */
  public static PciOptions defaults() {
    return new PciOptions(
        PciProfile.MODERN,
        DeviceHost.ringFeatures(),
        PER_QUEUE,
        false,
        false,
        PciIds.VENDOR,
        0,
        4,
        null);
  }

  /** These options with another profile. */
  public PciOptions withProfile(PciProfile newProfile) {
    return new PciOptions(
        newProfile,
        ringFeatures,
        msixVectors,
        externalMsix,
        bigEndianGuest,
        subsystemVendor,
        subsystem,
        notifyMultiplier,
        resets);
  }

  /** These options with only these ring features offered. */
  public PciOptions withRingFeatures(FeatureBits newRingFeatures) {
    return new PciOptions(
        profile,
        newRingFeatures,
        msixVectors,
        externalMsix,
        bigEndianGuest,
        subsystemVendor,
        subsystem,
        notifyMultiplier,
        resets);
  }

  /** These options with so many vectors of MSI-X; 0 for no MSI-X, {@link #PER_QUEUE}. */
  public PciOptions withMsixVectors(int newMsixVectors) {
    return new PciOptions(
        profile,
        ringFeatures,
        newMsixVectors,
        externalMsix,
        bigEndianGuest,
        subsystemVendor,
        subsystem,
        notifyMultiplier,
        resets);
  }

  /** These options with the MSI-X table kept elsewhere, or not. */
  public PciOptions withExternalMsix(boolean newExternalMsix) {
    return new PciOptions(
        profile,
        ringFeatures,
        msixVectors,
        newExternalMsix,
        bigEndianGuest,
        subsystemVendor,
        subsystem,
        notifyMultiplier,
        resets);
  }

  /** These options with legacy drivers of this byte order. */
  public PciOptions withBigEndianGuest(boolean newBigEndianGuest) {
    return new PciOptions(
        profile,
        ringFeatures,
        msixVectors,
        externalMsix,
        newBigEndianGuest,
        subsystemVendor,
        subsystem,
        notifyMultiplier,
        resets);
  }

  /** These options with other subsystem ids. */
  public PciOptions withSubsystem(int newSubsystemVendor, int newSubsystem) {
    return new PciOptions(
        profile,
        ringFeatures,
        msixVectors,
        externalMsix,
        bigEndianGuest,
        newSubsystemVendor,
        newSubsystem,
        notifyMultiplier,
        resets);
  }

  /** These options with the notification registers so many bytes apart. */
  public PciOptions withNotifyMultiplier(int newNotifyMultiplier) {
    return new PciOptions(
        profile,
        ringFeatures,
        msixVectors,
        externalMsix,
        bigEndianGuest,
        subsystemVendor,
        subsystem,
        newNotifyMultiplier,
        resets);
  }

  /** These options with long resets going on there. */
  public PciOptions withResets(ExecutorService newResets) {
    return new PciOptions(
        profile,
        ringFeatures,
        msixVectors,
        externalMsix,
        bigEndianGuest,
        subsystemVendor,
        subsystem,
        notifyMultiplier,
        newResets);
  }
}
