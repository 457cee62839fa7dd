// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Set;
import java.util.function.LongPredicate;

/**
 * Whether the bytes of a configuration space can be those of one device type: what the section
 * Device configuration layout of each type asks of a device, and what real devices keep to.
 */
final class ConfigEvidence {
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /** More than any real device reports of what it counts in 32 bits, far less than garbage. */
  private static final int MANY = 65536;

  private static final int PAGE = 4096;
  private static final int MAX_PENALTY_OF_ZEROES = 4;

  /** Of these the front-end knows the configuration, so that no back-end needs to give one. */
  private static final Set<DeviceType> FRONT_END_KNOWS =
      Set.of(
          DeviceType.NETWORK,
          DeviceType.FILE_SYSTEM,
          DeviceType.SOCKET,
          DeviceType.SCSI_HOST,
          DeviceType.CRYPTO);

  private final DeviceType type;
  private final FeatureBits offered;
  private final int queues;
  private final byte[] config;
  private final Evidence evidence;
  private int lossOfZeroes;
  private final boolean zeroes;

  private ConfigEvidence(
      DeviceType type, FeatureBits offered, int queues, byte[] config, Evidence evidence) {
    this.type = type;
    this.offered = offered;
    this.queues = queues;
    this.config = config;
    this.evidence = evidence;
    this.zeroes = isZero(0);
  }

  /** Adds what the bytes say; none means that the device gives no configuration. */
  static void weigh(
      DeviceType type, FeatureBits offered, int queues, byte[] config, Evidence evidence) {
    new ConfigEvidence(type, offered, queues, config, evidence).weigh();
  }

  private void weigh() {
    boolean hasConfig = !type.config().fields().isEmpty();
    if (config.length == 0) {
      if (!hasConfig) {
        add(1, "no configuration, and the type has none");
      } else if (FRONT_END_KNOWS.contains(type)) {
        add(1, "no configuration, and a front-end needs none");
      } else {
        add(-4, "gives no configuration");
      }
      return;
    }
    if (!hasConfig) {
      add(zeroes ? 0 : -8, "gives a configuration, but the type has none");
      return;
    }
    cutOff();
    padding();
    checks();
  }

  /** A device gives every field that needs no feature. */
  private void cutOff() {
    for (Struct.Field field : type.config().fields()) {
      boolean always = field.features().isEmpty() && !field.isPadding();
      if (always && !ConfigDecoder.covers(config, field)) {
        add(-3, config.length + " bytes of configuration end before " + field.name());
        break;
      }
    }
  }

  private void padding() {
    for (Struct.Field field : type.config().fields()) {
      if (field.isPadding() && ConfigDecoder.covers(config, field)) {
        int end = field.offset() + field.size();
        for (int i = field.offset(); i < end; i++) {
          if (config[i] != 0) {
            add(-3, field.name() + " is not zero");
            break;
          }
        }
      }
    }
    // Some back-ends read past the end of their structure when asked for more.
    add(isZero(type.config().size()) ? 0 : -4, "bytes behind the configuration are not zero");
  }

  private boolean isZero(int from) {
    for (int i = from; i < config.length; i++) {
      if (config[i] != 0) {
        return false;
      }
    }
    return true;
  }

  private void checks() {
    switch (type) {
      case NETWORK -> network();
      case BLOCK -> block();
      case CONSOLE -> {
        check("rows", v -> v <= 1000, 1, 4);
        check("cols", v -> v <= 1000, 1, 4);
        check("max_nr_ports", v -> v >= 1 && v <= MANY, 2, 6);
      }
      case MEMORY_BALLOON -> check("num_pages", v -> v <= 1 << 28, 0, 3);
      case SCSI_HOST -> scsi();
      case GPU -> {
        check("events_read", v -> v <= VirtioGpu.VIRTIO_GPU_EVENT_DISPLAY, 1, 4);
        check("num_scanouts", v -> v >= 1 && v <= VirtioGpu.VIRTIO_GPU_MAX_SCANOUTS, 4, 8);
        check("num_capsets", v -> v <= 64, 1, 4);
      }
      case INPUT -> input();
      case SOCKET ->
          check("guest_cid", v -> v > VirtioVsock.VIRTIO_VSOCK_CID_HOST && v < 0xffff_ffffL, 5, 8);
      case CRYPTO -> {
        check("status", v -> v <= VirtioCrypto.VIRTIO_CRYPTO_S_HW_READY, 1, 6);
        check("max_dataqueues", v -> v >= 1 && v < MANY, 2, 8);
        check("crypto_services", v -> v >= 1 && v < 32, 2, 6);
        check("max_size", v -> v != 0, 1, 2);
      }
      case IOMMU -> iommu();
      case MEMORY -> memory();
      case SOUND -> {
        check("jacks", v -> v <= 1024, 1, 6);
        check("streams", v -> v >= 1 && v <= 1024, 2, 6);
        check("chmaps", v -> v <= 1024, 1, 6);
        check("controls", v -> v <= MANY, 1, 6);
      }
      case FILE_SYSTEM -> fileSystem();
      case PMEM -> pmem();
      case RPMB -> check("capacity", v -> v >= 1 && v <= VirtioRpmb.MAX_CAPACITY, 2, 8);
      case CAN -> check("status", v -> v <= VirtioCan.VIRTIO_CAN_S_CTRL_BUSOFF, 1, 8);
      case GPIO -> {
        check("ngpio", v -> v >= 1, 2, 4);
        long lines = known("ngpio") ? get("ngpio") : 0;
        // A name is at least its terminating NUL.
        check("gpio_names_size", v -> v == 0 || v >= lines && v <= 1 << 20, 2, 4);
      }
      case SPI -> {
        check("cs_change_supported", v -> v <= 1, 1, 6);
        check("tx_nbits_supported", v -> v <= 7, 1, 6);
        check("rx_nbits_supported", v -> v <= 7, 1, 6);
        check("mode_func_supported", v -> (v & 3) != 0 && (v & 12) != 0 && v < 128, 4, 8);
      }
      case MEDIA -> text("card", 5, 8);
      default -> {}
    }
  }

  private void network() {
    if (offered.has(VirtioNet.VIRTIO_NET_F_MAC) && known("mac")) {
      boolean unicast = (get("mac") & 1) == 0 && !Arrays.equals(config, 0, 6, new byte[6], 0, 6);
      add(unicast ? 4 : -8, "mac " + shown("mac") + (unicast ? " fits" : " is no station's"));
    }
    check("status", v -> v <= 3, 1, 6);
    check("max_virtqueue_pairs", v -> v >= 1 && v <= 0x8000, 2, 8);
    check("mtu", v -> v >= 68, 3, 8);
    check("speed", v -> v <= 0x7fff_ffffL || v == 0xffff_ffffL, 1, 4);
    check("duplex", v -> v <= 1 || v == 0xff, 1, 4);
    check("rss_max_key_size", v -> v >= 40, 1, 4);
    check("rss_max_indirection_table_length", v -> v >= 128, 1, 4);
  }

  private void block() {
    // In bytes, 64 bits hold it.
    check("capacity", v -> v > 0 && v <= Long.MAX_VALUE / VirtioBlk.SECTOR_SIZE, 3, 4);
    check("size_max", v -> v >= 1, 1, 4);
    check("seg_max", v -> v >= 1 && v < MANY, 1, 3);
    check("blk_size", v -> isPowerOfTwo(v) && v >= VirtioBlk.SECTOR_SIZE && v <= 1 << 20, 4, 8);
    check("topology.physical_block_exp", v -> v <= 16, 1, 4);
    check("writeback", v -> v <= 1, 1, 4);
    check("num_queues", v -> v >= 1, 2, 6);
    check("write_zeroes_may_unmap", v -> v <= 1, 1, 4);
    check("zoned.model", v -> v <= 2, 1, 4);
    matchesQueues("num_queues", 0);
  }

  private void scsi() {
    check("num_queues", v -> v >= 1 && v < MANY, 1, 4);
    check("sense_size", v -> v == VirtioScsi.VIRTIO_SCSI_SENSE_DEFAULT_SIZE, 4, 4);
    check("cdb_size", v -> v == VirtioScsi.VIRTIO_SCSI_CDB_DEFAULT_SIZE, 4, 4);
    check("max_channel", v -> v == 0, 1, 2);
    check("max_target", v -> v <= 255, 1, 2);
    check("max_lun", v -> v <= 16383, 1, 2);
    matchesQueues("num_queues", 2);
  }

  private void input() {
    check("select", v -> v <= 3 || v >= 0x10 && v <= 0x12, 1, 6);
    check("size", v -> v <= VirtioInput.VIRTIO_INPUT_CFG_MAX_SIZE, 1, 6);
    if (known("size") && get("select") == VirtioInput.VIRTIO_INPUT_CFG_UNSET) {
      check("size", v -> v == 0, 0, 6);
    }
  }

  private void iommu() {
    check("page_size_mask", v -> v != 0, 2, 8);
    if (known("input_range.end")) {
      long start = get("input_range.start");
      check("input_range.end", v -> Long.compareUnsigned(start, v) < 0, 2, 6);
    }
    if (known("domain_range.end")) {
      long start = get("domain_range.start");
      check("domain_range.end", v -> start <= v, 2, 6);
    }
    check("bypass", v -> v <= 1, 1, 4);
  }

  private void memory() {
    check("block_size", v -> isPowerOfTwo(v) && v >= PAGE, 4, 8);
    if (known("block_size")) {
      long mask = get("block_size") - 1;
      check("addr", v -> (v & mask) == 0, 1, 8);
      check("region_size", v -> (v & mask) == 0, 1, 8);
      check("requested_size", v -> (v & mask) == 0, 1, 8);
    }
  }

  private void fileSystem() {
    text("tag", 6, 8);
    check("num_request_queues", v -> v >= 1 && v < MANY, 3, 8);
    matchesQueues("num_request_queues", type.minQueues(offered) - 1);
  }

  private void pmem() {
    boolean region = offered.has(VirtioPmem.VIRTIO_PMEM_F_SHMEM_REGION);
    check("start", v -> region ? v == 0 : v % PAGE == 0, 1, 4);
    check("size", v -> region ? v == 0 : v != 0 && v % PAGE == 0, 3, 4);
  }

  /** A count of queues in the configuration that agrees with what the device reports. */
  private void matchesQueues(String field, int others) {
    if (known(field) && queues > 0 && get(field) + others == queues) {
      add(2, field + " agrees with the number of queues");
    }
  }

  private void text(String field, int gain, int loss) {
    if (known(field)) {
      Struct.Field f = type.config().field(field);
      int end = f.offset();
      while (end < f.offset() + f.size() && config[end] != 0) {
        end++;
      }
      boolean padded = true;
      for (int i = end; i < f.offset() + f.size(); i++) {
        padded &= config[i] == 0;
      }
      String shown = shown(field);
      boolean fits = padded && end > f.offset() && !shown.contains("\\");
      add(
          fits ? gain : -loss,
          fits ? field + " \"" + shown + "\" fits" : field + " is no padded text");
    }
  }

  private void check(String field, LongPredicate fits, int gain, int loss) {
    if (known(field)) {
      boolean ok = fits.test(get(field));
      add(ok ? gain : -loss, field + " " + shown(field) + (ok ? " fits" : " does not fit"));
    }
  }

  /** Zeroes prove nothing: many a back-end answers with them where it has no answer. */
  private void add(int points, String reason) {
    if (!zeroes || config.length == 0) {
      evidence.add(points, reason);
    } else if (points < 0 && lossOfZeroes == 0) {
      lossOfZeroes = Math.min(-points, MAX_PENALTY_OF_ZEROES);
      evidence.add(-lossOfZeroes, "configuration is all zero, but " + reason);
    }
  }

  private boolean known(String field) {
    Struct.Field f = type.config().field(field);
    return f.existsWith(offered) && ConfigDecoder.covers(config, f);
  }

  private long get(String field) {
    return ConfigDecoder.number(type.config().field(field), 0, config, ORDER);
  }

  private String shown(String field) {
    return ConfigDecoder.text(type.config().field(field), config, ORDER);
  }

  private static boolean isPowerOfTwo(long value) {
    return Long.bitCount(value) == 1;
  }
}
