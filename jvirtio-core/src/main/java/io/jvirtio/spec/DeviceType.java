// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;

/**
 * Device types and their ids (virtio 1.4, Device Types), with what the specification says of each:
 * features, configuration, queues. The types behind {@link #MEDIA} have an id and no more.
 */
public enum DeviceType {
  NETWORK(
      1,
      "net",
      VirtioNet.CONFIG,
      VirtioNet::featureName,
      VirtioNet.REQUIREMENTS,
      QueueRule.atLeast(2, VirtioNet.VIRTIO_NET_F_CTRL_VQ)),
  BLOCK(2, "blk", VirtioBlk.CONFIG, VirtioBlk::featureName, QueueRule.atLeast(1)),
  CONSOLE(
      3,
      "console",
      VirtioConsole.CONFIG,
      VirtioConsole::featureName,
      // The control queues come as a pair.
      QueueRule.atLeast(
          2, VirtioConsole.VIRTIO_CONSOLE_F_MULTIPORT, VirtioConsole.VIRTIO_CONSOLE_F_MULTIPORT)),
  ENTROPY(4, "rng", Struct.EMPTY, bit -> null, QueueRule.exactly(1)),
  MEMORY_BALLOON(
      5,
      "balloon",
      VirtioBalloon.CONFIG,
      VirtioBalloon::featureName,
      QueueRule.exactly(
          2,
          VirtioBalloon.VIRTIO_BALLOON_F_STATS_VQ,
          VirtioBalloon.VIRTIO_BALLOON_F_FREE_PAGE_HINT,
          VirtioBalloon.VIRTIO_BALLOON_F_PAGE_REPORTING)),
  SCSI_HOST(8, "scsi", VirtioScsi.CONFIG, VirtioScsi::featureName, QueueRule.atLeast(3)),
  GPU(
      16,
      "gpu",
      VirtioGpu.CONFIG,
      VirtioGpu::featureName,
      VirtioGpu.REQUIREMENTS,
      QueueRule.exactly(2)),
  RTC(
      17,
      "rtc",
      Struct.EMPTY,
      VirtioRtc::featureName,
      QueueRule.exactly(1, VirtioRtc.VIRTIO_RTC_F_ALARM)),
  INPUT(18, "input", VirtioInput.CONFIG, bit -> null, QueueRule.exactly(2)),
  SOCKET(19, "vsock", VirtioVsock.CONFIG, VirtioVsock::featureName, QueueRule.exactly(3)),
  CRYPTO(
      20,
      "crypto",
      VirtioCrypto.CONFIG,
      VirtioCrypto::featureName,
      VirtioCrypto.REQUIREMENTS,
      QueueRule.atLeast(2)),
  IOMMU(23, "iommu", VirtioIommu.CONFIG, VirtioIommu::featureName, QueueRule.exactly(2)),
  MEMORY(24, "mem", VirtioMem.CONFIG, VirtioMem::featureName, QueueRule.exactly(1)),
  SOUND(25, "sound", VirtioSound.CONFIG, VirtioSound::featureName, QueueRule.exactly(4)),
  FILE_SYSTEM(
      26,
      "fs",
      VirtioFs.CONFIG,
      VirtioFs::featureName,
      QueueRule.atLeast(2, VirtioFs.VIRTIO_FS_F_NOTIFICATION)),
  PMEM(27, "pmem", VirtioPmem.CONFIG, VirtioPmem::featureName, QueueRule.exactly(1)),
  RPMB(28, "rpmb", VirtioRpmb.CONFIG, bit -> null, QueueRule.exactly(1)),
  SCMI(
      32,
      "scmi",
      Struct.EMPTY,
      VirtioScmi::featureName,
      QueueRule.exactly(1, VirtioScmi.VIRTIO_SCMI_F_P2A_CHANNELS)),
  I2C(34, "i2c", Struct.EMPTY, VirtioI2c::featureName, QueueRule.exactly(1)),
  CAN(
      36,
      "can",
      VirtioCan.CONFIG,
      VirtioCan::featureName,
      VirtioCan.REQUIREMENTS,
      QueueRule.exactly(3)),
  GPIO(
      41,
      "gpio",
      VirtioGpio.CONFIG,
      VirtioGpio::featureName,
      QueueRule.exactly(1, VirtioGpio.VIRTIO_GPIO_F_IRQ)),
  SPI(45, "spi", VirtioSpi.CONFIG, bit -> null, QueueRule.exactly(1)),
  MEDIA(48, "media", VirtioMedia.CONFIG, bit -> null, QueueRule.exactly(2)),

  IO_MEMORY(6, "iomem"),
  RPMSG(7, "rpmsg"),
  NINE_P(9, "9p"),
  MAC80211_WLAN(10, "mac-wlan"),
  RPROC_SERIAL(11, "rproc-serial"),
  CAIF(12, "caif"),
  MEMORY_BALLOON_NEW(13, "mem-balloon"),
  SIGNAL_DISTRIBUTION(21, "signal"),
  PSTORE(22, "pstore"),
  MAC80211_HWSIM(29, "mac-hwsim"),
  VIDEO_ENCODER(30, "vid-encoder"),
  VIDEO_DECODER(31, "vid-decoder"),
  NITRO_SECURE_MODULE(33, "nitro-sec-mod"),
  WATCHDOG(35, "watchdog"),
  PARAMETER_SERVER(38, "param-serv"),
  AUDIO_POLICY(39, "audio-pol"),
  BLUETOOTH(40, "bluetooth");

  private final int id;
  private final String shortName;
  private final Struct config;
  private final IntFunction<String> featureNames;
  private final List<FeatureRequirement> requirements;
  private final QueueRule queues;
  private final FeatureBits features;

  DeviceType(int id, String shortName) {
    this(id, shortName, Struct.EMPTY, bit -> null, List.of(), null);
  }

  DeviceType(
      int id, String shortName, Struct config, IntFunction<String> featureNames, QueueRule queues) {
    this(id, shortName, config, featureNames, List.of(), queues);
  }

  DeviceType(
      int id,
      String shortName,
      Struct config,
      IntFunction<String> featureNames,
      List<FeatureRequirement> requirements,
      QueueRule queues) {
    this.id = id;
    this.shortName = shortName;
    this.config = config;
    this.featureNames = featureNames;
    this.requirements = requirements;
    this.queues = queues;
    FeatureBits all = FeatureBits.NONE;
    for (int bit = 0; bit < FeatureBits.WIDTH; bit++) {
      all = all.withIf(featureNames.apply(bit) != null, bit);
    }
    this.features = all;
  }

  /** The virtio device id. */
  public int id() {
    return id;
  }

  /** The customary short name, as in {@code virtio-blk}. */
  public String shortName() {
    return shortName;
  }

  /** Whether the specification describes the type, beyond reserving its id. */
  public boolean isSpecified() {
    return queues != null;
  }

  /** The layout of the configuration space; {@link Struct#EMPTY} where there is none. */
  public Struct config() {
    return config;
  }

  /**
   * The specification's name of a feature bit that belongs to this type, or null.
   *
   * @param bit 0 to 127
   */
  public String featureName(int bit) {
    return featureNames.apply(bit);
  }

  /** The feature bits that belong to this type, those of the legacy interface included. */
  public FeatureBits features() {
    return features;
  }

  /** Which of its features need which other. */
  public List<FeatureRequirement> requirements() {
    return requirements;
  }

  /** The fewest queues of a device that offers none of the type's features; 0 if unspecified. */
  public int minQueues() {
    return minQueues(FeatureBits.NONE);
  }

  /**
   * The fewest queues of a device that offers these features; 0 for an unspecified type.
   *
   * <p>A vhost-user back-end may report fewer: of a network device it counts pairs, and QEMU keeps
   * the event queue of a socket device to itself.
   */
  public int minQueues(FeatureBits offered) {
    return queues == null ? 0 : queues.least(offered);
  }

  /** Whether a device may have more queues than {@link #minQueues(FeatureBits)}. */
  public boolean hasMoreQueues() {
    return queues == null || queues.open();
  }

  /** The type with this id, or null when this table has none. */
  public static DeviceType of(int id) {
    for (DeviceType type : values()) {
      if (type.id == id) {
        return type;
      }
    }
    return null;
  }

  /** The type with this short name, as {@code "blk"}, or null when this table has none. */
  public static DeviceType named(String shortName) {
    for (DeviceType type : values()) {
      if (type.shortName.equals(shortName)) {
        return type;
      }
    }
    return null;
  }

  /** The types that the specification describes, in the order of their ids. */
  public static List<DeviceType> specified() {
    List<DeviceType> result = new ArrayList<>();
    for (DeviceType type : values()) {
      if (type.isSpecified()) {
        result.add(type);
      }
    }
    return List.copyOf(result);
  }
}
