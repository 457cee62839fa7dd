// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import static io.jvirtio.spec.DeviceTypeGuess.UNKNOWN_QUEUES;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.spec.DeviceTypeGuess.Candidate;
import io.jvirtio.spec.DeviceTypeGuess.Confidence;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class DeviceTypeGuessTest {
  /** What most back-ends offer for themselves: bits 24, 28, 29, 30 and 32. */
  private static final long COMMON = 0x1_7100_0000L;

  private static final byte[] NO_CONFIG = {};

  private static final byte[] BLK_OF_QEMU =
      hex(
          "0000020000000000" // capacity
              + "000000007e00000000000000" // size_max, seg_max, geometry
              + "00020000" // blk_size
              + "0000010001000000" // topology
              + "00000400" // writeback, unused0, num_queues
              + "008000000100000001000000" // discard
              + "0080000001000000" // write zeroes
              + "00000000");

  private static byte[] hex(String digits) {
    return HexFormat.of().parseHex(digits);
  }

  /** A byte array of 32-bit little-endian numbers. */
  private static byte[] le32(long... numbers) {
    byte[] result = new byte[4 * numbers.length];
    for (int i = 0; i < result.length; i++) {
      result[i] = (byte) (numbers[i / 4] >>> (8 * (i % 4)));
    }
    return result;
  }

  private static List<Candidate> guess(long features, int queues, byte[] config) {
    return DeviceTypeGuess.of(new FeatureBits(features, 0), queues, config);
  }

  private static Candidate first(long features, int queues, byte[] config) {
    return guess(features, queues, config).getFirst();
  }

  private static void assertFirst(
      DeviceType type, Confidence confidence, long features, int queues, byte[] config) {
    List<Candidate> candidates = guess(features, queues, config);
    assertFalse(candidates.isEmpty(), "no candidate");
    assertEquals(type, candidates.getFirst().type(), candidates::toString);
    assertEquals(confidence, candidates.getFirst().confidence(), candidates::toString);
  }

  @Test
  void theBlockDeviceOfQemuStorageDaemon() {
    assertFirst(DeviceType.BLOCK, Confidence.HIGH, 0x1_7500_7e46L, 4, BLK_OF_QEMU);
    assertFirst(DeviceType.BLOCK, Confidence.HIGH, 0x1_7500_7e46L, 4, null);
    assertFirst(DeviceType.BLOCK, Confidence.HIGH, 0x1_7500_7e46L, UNKNOWN_QUEUES, null);
    // Read-only, as a newer version offers it.
    assertFirst(DeviceType.BLOCK, Confidence.HIGH, 0x1_7500_7e64L, 1, null);

    String reason = first(0x1_7500_7e46L, 4, BLK_OF_QEMU).reason();
    assertTrue(reason.contains("capacity 131072 fits"), reason);
    assertTrue(reason.contains("blk_size 512 fits"), reason);
    assertTrue(reason.contains("VIRTIO_BLK_F_BLK_SIZE"), reason);
    assertTrue(reason.contains("num_queues agrees with the number of queues"), reason);
  }

  @Test
  void theNetworkDeviceOfDpdkThatCountsPairs() {
    assertFirst(DeviceType.NETWORK, Confidence.HIGH, 0xd_7c66_e7cbL, 128, null);
    assertFirst(DeviceType.NETWORK, Confidence.HIGH, 0xd_7c66_e7cbL, 1, NO_CONFIG);
  }

  @Test
  void aNetworkDeviceWithAnAddressAndAnMtu() {
    long features = COMMON | 1 << 5 | 1 << 3 | 1 << 16;
    byte[] config = hex("5254001234560100" + "0000" + "dc05" + "00".repeat(16));
    assertFirst(DeviceType.NETWORK, Confidence.HIGH, features, 2, config);
    Candidate candidate = first(features, 2, config);
    assertTrue(candidate.reason().contains("mac 52:54:00:12:34:56 fits"), candidate.reason());
    assertTrue(candidate.reason().contains("mtu 1500 fits"), candidate.reason());

    config[0] = 0x53; // a group address
    config[10] = 67;
    config[11] = 0;
    Candidate worse =
        guess(features, 2, config).stream()
            .filter(c -> c.type() == DeviceType.NETWORK)
            .findFirst()
            .orElse(null);
    assertTrue(worse == null || worse.score() < candidate.score() - 20, "" + worse);
  }

  @Test
  void aFileSystemIsKnownByItsTag() {
    byte[] config = new byte[256];
    config[0] = 'm';
    config[1] = 'y';
    config[36] = 1;
    assertFirst(DeviceType.FILE_SYSTEM, Confidence.HIGH, 0x1_7400_0000L, 2, config);
    String reason = first(0x1_7400_0000L, 2, config).reason();
    assertTrue(reason.contains("tag \"my\" fits"), reason);
    assertTrue(reason.contains("num_request_queues 1 fits"), reason);

    config[0] = 27;
    assertNotEquals(
        Confidence.HIGH, first(0x1_7400_0000L, 2, config).confidence(), "tag with an escape");
  }

  @Test
  void aFileSystemWithoutATagCannotBeToldFromOthers() {
    List<Candidate> candidates = guess(0x1_7400_0000L, 2, NO_CONFIG);
    assertTrue(
        candidates.stream().anyMatch(c -> c.type() == DeviceType.FILE_SYSTEM),
        candidates::toString);
    assertTrue(
        candidates.stream().allMatch(c -> c.confidence() == Confidence.LOW), candidates::toString);
  }

  @Test
  void aSocketDevice() {
    byte[] cid = hex("0300000000000000");
    assertFirst(DeviceType.SOCKET, Confidence.MEDIUM, COMMON, 3, cid);
    assertFirst(DeviceType.SOCKET, Confidence.MEDIUM, COMMON | 1 << 1, 3, cid);
    assertTrue(first(COMMON, 3, cid).reason().contains("guest_cid 3 fits"));
    for (String reserved : List.of("0200000000000000", "ffffffff00000000", "f".repeat(16))) {
      assertTrue(
          guess(COMMON, 3, hex(reserved)).stream().noneMatch(c -> c.type() == DeviceType.SOCKET),
          reserved);
    }
  }

  @Test
  void theDevicesWithOneQueue() {
    assertFirst(DeviceType.ENTROPY, Confidence.MEDIUM, COMMON, 1, NO_CONFIG);
    assertFirst(DeviceType.I2C, Confidence.MEDIUM, COMMON | 1, 1, NO_CONFIG);
    byte[] spi = le32(0x0000_0001, 0, 0x0f, 10_000_000, 0, 0, 0, 0);
    assertFirst(DeviceType.SPI, Confidence.HIGH, COMMON, 1, spi);
  }

  @Test
  void theDevicesWithTwoQueues() {
    // A clock with an alarm looks the same as an SCMI device that sends notifications.
    List<Candidate> scmi = guess(COMMON | 1, 2, NO_CONFIG);
    assertEquals(
        List.of(DeviceType.RTC, DeviceType.SCMI),
        scmi.stream().limit(2).map(Candidate::type).toList());
    assertEquals(scmi.get(0).score(), scmi.get(1).score());
    assertEquals(Confidence.LOW, scmi.get(0).confidence());
    assertFirst(DeviceType.GPIO, Confidence.MEDIUM, COMMON | 1, 2, le32(12, 60));
    // Without names, the number of lines might be the context id of a socket device.
    assertFirst(DeviceType.GPIO, Confidence.LOW, COMMON | 1, 2, le32(12, 0));
    assertFirst(DeviceType.INPUT, Confidence.MEDIUM, COMMON, 2, new byte[136]);
    assertFirst(DeviceType.GPU, Confidence.HIGH, COMMON | 0x1d, 2, le32(0, 0, 1, 0));
    byte[] media = Arrays.copyOf(le32(0x0420_0000, 0), 40);
    System.arraycopy("simple_device".getBytes(), 0, media, 8, 13);
    assertFirst(DeviceType.MEDIA, Confidence.HIGH, COMMON, 2, media);
  }

  @Test
  void anInputDeviceInTheMiddleOfAQuery() {
    byte[] config = new byte[136];
    config[0] = 0x11;
    config[1] = 1;
    config[2] = 16;
    Arrays.fill(config, 8, 24, (byte) 0xff);
    assertFirst(DeviceType.INPUT, Confidence.MEDIUM, COMMON, 2, config);
    config[2] = (byte) 129;
    assertTrue(guess(COMMON, 2, config).stream().noneMatch(c -> c.confidence() == Confidence.HIGH));
  }

  @Test
  void theDevicesWithThreeAndMoreQueues() {
    byte[] scsi = le32(1, 126, 0xffff, 128, 16, 96, 32, 255 << 16, 16383);
    assertFirst(DeviceType.SCSI_HOST, Confidence.HIGH, COMMON | 2, 3, scsi);
    assertFirst(DeviceType.CAN, Confidence.MEDIUM, COMMON | 3, 3, new byte[2]);
    assertFirst(DeviceType.SOUND, Confidence.MEDIUM, COMMON, 4, le32(0, 2, 1, 0));
    byte[] console = Arrays.copyOf(le32(0, 1, 0), 12);
    assertFirst(DeviceType.CONSOLE, Confidence.MEDIUM, COMMON | 2, 4, console);
  }

  @Test
  void cryptoAndMemoryDevices() {
    byte[] crypto = le32(1, 1, 3, 8, 0, 0, 0, 0, 0, 64, 512, 0, 0x10_0000, 0);
    assertFirst(DeviceType.CRYPTO, Confidence.MEDIUM, COMMON | 1, 2, crypto);
    byte[] mem = le32(0x20_0000, 0, 0, 0, 0, 1, 0x4000_0000, 0, 0x4000_0000, 0, 0, 0, 0, 0);
    assertFirst(DeviceType.MEMORY, Confidence.MEDIUM, COMMON | 2, 1, mem);
    byte[] iommu = le32(0xffff_f000L, -1, 0, 0, -1, 0xffff, 0, -1, 512, 0);
    assertFirst(DeviceType.IOMMU, Confidence.HIGH, COMMON | 0x57, 2, iommu);
    byte[] pmem = le32(0x4000_0000, 1, 0x1000_0000, 0);
    assertTrue(
        guess(COMMON, 1, pmem).stream().anyMatch(c -> c.type() == DeviceType.PMEM),
        () -> guess(COMMON, 1, pmem).toString());
    byte[] rpmb = {8, 1, 1};
    assertTrue(guess(COMMON, 1, rpmb).stream().anyMatch(c -> c.type() == DeviceType.RPMB));
    byte[] balloon = le32(1024, 0, 0, 0);
    assertTrue(
        guess(COMMON | 2, 3, balloon).stream()
            .anyMatch(c -> c.type() == DeviceType.MEMORY_BALLOON));
  }

  @Test
  void withoutEvidenceThereIsNoAnswer() {
    assertEquals(List.of(), guess(0, UNKNOWN_QUEUES, null));
    assertEquals(List.of(), guess(COMMON, UNKNOWN_QUEUES, null));
    assertEquals(List.of(), guess(COMMON, 0, null));
    // The protocol's bits, and those of the queues, are no device's.
    assertEquals(List.of(), guess(0x3ff_ff00_0000L, UNKNOWN_QUEUES, null));
  }

  @Test
  void littleEvidenceGivesLittleConfidence() {
    for (int queues = 1; queues <= 5; queues++) {
      for (Candidate candidate : guess(COMMON, queues, null)) {
        assertNotEquals(Confidence.HIGH, candidate.confidence(), candidate::toString);
      }
    }
    for (Candidate candidate : guess(COMMON | 1, UNKNOWN_QUEUES, null)) {
      assertEquals(Confidence.LOW, candidate.confidence(), candidate::toString);
    }
    for (Candidate candidate : guess(COMMON, UNKNOWN_QUEUES, new byte[256])) {
      assertEquals(Confidence.LOW, candidate.confidence(), candidate::toString);
    }
  }

  @Test
  void featuresOfNoTypeFitNone() {
    assertEquals(List.of(), guess(COMMON | 1 << 4 | 1L << 58, UNKNOWN_QUEUES, NO_CONFIG));
    assertEquals(
        List.of(), DeviceTypeGuess.of(new FeatureBits(COMMON, -1L), UNKNOWN_QUEUES, NO_CONFIG));
  }

  @Test
  void featuresAbove63Count() {
    FeatureBits features =
        new FeatureBits(COMMON, 0).with(64).with(69).with(17).with(60).with(15).with(0);
    Candidate candidate = DeviceTypeGuess.of(features, UNKNOWN_QUEUES, null).getFirst();
    assertEquals(DeviceType.NETWORK, candidate.type());
    assertEquals(Confidence.HIGH, candidate.confidence());
  }

  @Test
  void anyInputGivesRankedCandidates() {
    Random random = new Random(3);
    int[] queueCounts = {Integer.MIN_VALUE, -1, 0, 1, 2, 3, 4, 256, Integer.MAX_VALUE};
    for (int i = 0; i < 5000; i++) {
      byte[] config = random.nextInt(8) == 0 ? null : new byte[random.nextInt(300)];
      if (config != null) {
        random.nextBytes(config);
      }
      long mask = random.nextBoolean() ? -1 : random.nextLong() & random.nextLong();
      FeatureBits offered = new FeatureBits(random.nextLong() & mask, random.nextLong() & mask);
      int queues = queueCounts[random.nextInt(queueCounts.length)];

      List<Candidate> candidates = DeviceTypeGuess.of(offered, queues, config);

      int above = Integer.MAX_VALUE;
      for (Candidate candidate : candidates) {
        assertTrue(candidate.score() > 0 && candidate.score() <= above);
        assertTrue(candidate.type().isSpecified());
        assertFalse(candidate.reasons().isEmpty());
        assertTrue(candidate.reason().codePoints().allMatch(ConfigDecoder::isPrintable));
        assertTrue(above == Integer.MAX_VALUE || candidate.confidence() == Confidence.LOW);
        above = candidate.score();
      }
      assertEquals(candidates, DeviceTypeGuess.of(offered, queues, config));
    }
  }

  @Test
  void noiseIsNotTakenForADevice() {
    Random random = new Random(4);
    int sure = 0;
    for (int i = 0; i < 2000; i++) {
      byte[] config = new byte[60 + random.nextInt(197)];
      random.nextBytes(config);
      List<Candidate> candidates = guess(COMMON, 1 + random.nextInt(4), config);
      if (!candidates.isEmpty() && candidates.getFirst().confidence() != Confidence.LOW) {
        sure++;
      }
    }
    assertTrue(sure < 40, sure + " of 2000");
  }

  @Test
  void theConfigurationOfEveryTypeCutAnywhereIsWeighed() {
    for (DeviceType type : DeviceType.specified()) {
      byte[] config = new byte[type.config().size()];
      Arrays.fill(config, (byte) 1);
      for (int length = 0; length <= config.length; length++) {
        byte[] cut = Arrays.copyOf(config, length);
        for (Candidate candidate : DeviceTypeGuess.of(type.features(), 4, cut)) {
          assertTrue(candidate.score() > 0);
        }
      }
    }
  }
}
