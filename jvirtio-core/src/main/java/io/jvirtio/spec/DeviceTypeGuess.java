// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * Infers the type of a device that does not tell: the vhost-user protocol carries no device id.
 *
 * <p>Each type that the specification describes gets points for what it would explain: features
 * that it defines (the rarer among all types, the more), the number of queues, plausible contents
 * of the configuration space. Features that it does not define, or that lack another which they
 * need, count against it. Pure functions: any input gives an answer, none an exception.
 */
public final class DeviceTypeGuess {
  /** For the number of queues: not known. */
  public static final int UNKNOWN_QUEUES = -1;

  /** How far a candidate can be relied on. */
  public enum Confidence {
    /** Nothing better than a possibility; to be shown as a question. */
    LOW,
    /** More likely than the others. */
    MEDIUM,
    /** Nothing else explains what was seen nearly as well. */
    HIGH
  }

  /**
   * One type that the device may have.
   *
   * @param type the type
   * @param score the points, 1 or more; of use only for comparison with other candidates
   * @param confidence LOW for all but the first candidate
   * @param reasons what speaks for it and against it, for people to read; free of control
   *     characters
   */
  public record Candidate(DeviceType type, int score, Confidence confidence, List<String> reasons) {
    /** The reasons in one line. */
    public String reason() {
      return String.join(", ", reasons);
    }
  }

  private static final int HIGH_SCORE = 10;
  private static final int HIGH_LEAD = 6;
  private static final int MEDIUM_SCORE = 5;
  private static final int MEDIUM_LEAD = 3;
  private static final int MOST_FOR_FEATURES = 24;
  private static final int MOST_AGAINST_FEATURES = 24;
  private static final int NAMES_TOLD = 4;

  /** Types that came after the legacy interface had ended count from this id. */
  private static final int FIRST_MODERN_ID = 16;

  /** Virtio's bits of device types, without bit 41, which is VIRTIO_F_ADMIN_VQ as well. */
  private static final FeatureBits DEVICE_BITS =
      new FeatureBits(0xff_ffffL | 1L << 42 | -1L << 50, -1L);

  /** Bits that only legacy interfaces offer: they explain little of a modern device. */
  private static final FeatureBits LEGACY_BLK =
      FeatureBits.of(VirtioBlk.VIRTIO_BLK_F_BARRIER, VirtioBlk.VIRTIO_BLK_F_SCSI);

  private static final FeatureBits LEGACY_NET =
      FeatureBits.of(VirtioNet.VIRTIO_NET_F_GSO, VirtioNet.VIRTIO_NET_F_GUEST_RSC6);

  /** No vhost-user front-end for these is known. */
  private static final Set<DeviceType> UNUSUAL =
      EnumSet.of(DeviceType.MEMORY_BALLOON, DeviceType.IOMMU, DeviceType.MEMORY, DeviceType.PMEM);

  /** Points for each bit that is offered: the fewer types define it, the more it tells. */
  private static final int[] POINTS = new int[FeatureBits.WIDTH];

  static {
    for (int bit = 0; bit < POINTS.length; bit++) {
      int types = 0;
      for (DeviceType type : DeviceType.specified()) {
        types += type.features().has(bit) ? 1 : 0;
      }
      POINTS[bit] = types == 1 ? 6 : types == 2 ? 3 : types <= 4 ? 2 : 1;
    }
  }

  private DeviceTypeGuess() {}

  /**
   * The types that the device may have, the likeliest first.
   *
   * @param offered the features that the device offers; bits that belong to no type, such as the
   *     vhost-user protocol's own bits 26 and 30, do not matter
   * @param queues how many queues the device reports, or {@link #UNKNOWN_QUEUES}
   * @param config the start of the configuration space, little-endian, as much as the device gives;
   *     empty when it gives none, null when that is not known
   * @return the types for which more speaks than against; empty when nothing is known or nothing
   *     fits
   */
  public static List<Candidate> of(FeatureBits offered, int queues, byte[] config) {
    FeatureBits own = offered.and(DEVICE_BITS);
    if (own.isEmpty() && queues < 1 && config == null) {
      return List.of();
    }
    List<Candidate> found = new ArrayList<>();
    for (DeviceType type : DeviceType.specified()) {
      Evidence evidence = new Evidence();
      weighFeatures(type, offered, own, evidence);
      if (queues > 0) {
        weighQueues(type, offered, queues, evidence);
      }
      if (config != null) {
        ConfigEvidence.weigh(type, offered, queues, config, evidence);
      }
      evidence.add(UNUSUAL.contains(type) ? -2 : 0, "unusual behind vhost-user");
      if (evidence.score() > 0) {
        found.add(new Candidate(type, evidence.score(), Confidence.LOW, evidence.reasons()));
      }
    }
    // Stable: equals stay in the order of their ids.
    found.sort(Comparator.comparingInt(Candidate::score).reversed());
    if (!found.isEmpty()) {
      Candidate first = found.getFirst();
      int lead = first.score() - (found.size() > 1 ? found.get(1).score() : 0);
      found.set(
          0,
          new Candidate(
              first.type(), first.score(), confidence(first.score(), lead), first.reasons()));
    }
    return List.copyOf(found);
  }

  private static Confidence confidence(int score, int lead) {
    if (score >= HIGH_SCORE && lead >= HIGH_LEAD) {
      return Confidence.HIGH;
    }
    return score >= MEDIUM_SCORE && lead >= MEDIUM_LEAD ? Confidence.MEDIUM : Confidence.LOW;
  }

  private static void weighFeatures(
      DeviceType type, FeatureBits offered, FeatureBits own, Evidence evidence) {
    boolean modern = offered.has(ReservedFeatures.VIRTIO_F_VERSION_1);
    if (own.isEmpty()) {
      boolean none = type.features().isEmpty();
      evidence.add(none ? 3 : 0, "no feature of a device type, and the type has none");
    }
    FeatureBits known = own.and(type.features());
    FeatureBits legacy = modern ? known.and(legacyBits(type)) : FeatureBits.NONE;
    evidence.add(legacy.isEmpty() ? 0 : -2, "offers " + names(type, legacy) + " of legacy devices");
    known = known.minus(legacy);
    int points = known.bits().stream().mapToInt(bit -> POINTS[bit]).sum();
    evidence.add(Math.min(points, MOST_FOR_FEATURES), "offers " + names(type, known));

    int unknown = own.minus(type.features()).bits().size();
    evidence.add(
        -Math.min(8 * unknown, MOST_AGAINST_FEATURES),
        unknown
            + (unknown == 1 ? " feature" : " features")
            + " offered that the type does not have");

    FeatureBits broken = FeatureBits.NONE;
    for (FeatureRequirement requirement : type.requirements()) {
      broken = broken.withIf(!requirement.holds(offered), requirement.feature());
    }
    evidence.add(
        -Math.min(8 * broken.bits().size(), MOST_AGAINST_FEATURES),
        names(type, broken) + " offered without what it needs");
    mandatory(type, own, modern, evidence);
  }

  /** What a device of the type has to offer, or nearly always does. */
  private static void mandatory(
      DeviceType type, FeatureBits own, boolean modern, Evidence evidence) {
    if (!modern && type.id() >= FIRST_MODERN_ID) {
      evidence.add(-2, "lacks VIRTIO_F_VERSION_1");
    }
    switch (type) {
      case I2C -> {
        boolean has = own.has(VirtioI2c.VIRTIO_I2C_F_ZERO_LENGTH_REQUEST);
        evidence.add(
            has ? 1 : -3,
            "VIRTIO_I2C_F_ZERO_LENGTH_REQUEST is mandatory" + (has ? "" : ", but missing"));
      }
      case CAN -> {
        FeatureBits either =
            FeatureBits.of(VirtioCan.VIRTIO_CAN_F_CAN_CLASSIC, VirtioCan.VIRTIO_CAN_F_CAN_FD);
        evidence.add(own.and(either).isEmpty() ? -4 : 0, "offers neither CAN classic nor CAN FD");
      }
      case IOMMU ->
          evidence.add(
              own.has(VirtioIommu.VIRTIO_IOMMU_F_MAP_UNMAP) ? 0 : -2,
              "lacks VIRTIO_IOMMU_F_MAP_UNMAP");
      case NETWORK, BLOCK -> evidence.add(own.isEmpty() ? -2 : 0, "offers none of its features");
      default -> {}
    }
  }

  private static FeatureBits legacyBits(DeviceType type) {
    return switch (type) {
      case BLOCK -> LEGACY_BLK;
      case NETWORK -> LEGACY_NET;
      default -> FeatureBits.NONE;
    };
  }

  private static void weighQueues(
      DeviceType type, FeatureBits offered, int queues, Evidence evidence) {
    int least = type.minQueues(offered);
    String count = queues + (queues == 1 ? " queue" : " queues");
    if (type == DeviceType.NETWORK && queues < least || type == DeviceType.SOCKET && queues == 2) {
      return; // a count of pairs; the event queue is the front-end's
    }
    if (queues < least) {
      evidence.add(-6, count + " where the type needs " + least);
    } else if (type.hasMoreQueues()) {
      int forFeatures = least > type.minQueues() ? 1 : 0;
      evidence.add(
          queues == least ? 1 + forFeatures : 0, count + ", the fewest that the type can have");
    } else if (queues == least) {
      evidence.add(Math.max(2, least), count + ", as the type has");
    } else {
      evidence.add(-3, count + " where the type has " + least);
    }
  }

  private static String names(DeviceType type, FeatureBits features) {
    List<Integer> bits = features.bits();
    List<String> names = bits.stream().limit(NAMES_TOLD).map(type::featureName).toList();
    String rest = bits.size() > NAMES_TOLD ? " and " + (bits.size() - NAMES_TOLD) + " more" : "";
    return String.join(" ", names) + rest;
  }
}
