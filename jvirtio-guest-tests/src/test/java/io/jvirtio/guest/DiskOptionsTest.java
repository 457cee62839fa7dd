// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlkRequestType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.VirtioBlk;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLongArray;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Options of QEMU's and of the device, each with data written and read back by a guest. */
class DiskOptionsTest {
  private static final long SIZE = 16L << 20;
  private static final int QUEUES = 4;

  /** One disk of the guest; its name is its serial number. */
  private enum Variant {
    PLAIN,
    NO_PACKED("packed=off"),
    NO_EVENT_INDEX("event_idx=off"),
    NO_INDIRECT("indirect_desc=off"),
    BARE("event_idx=off", "indirect_desc=off"),
    MODERN("disable-legacy=on"),
    LEGACY("disable-modern=on"),
    DEEP("queue-size=1024"),
    SHALLOW("queue-size=8"),
    BLOCKS_OF_4096,
    PACKED("packed=on"),
    PACKED_NO_EVENTS("packed=on", "event_idx=off"),
    PACKED_DIRECT("packed=on", "indirect_desc=off"),
    PACKED_BARE("packed=on", "event_idx=off", "indirect_desc=off"),
    PACKED_DEEP("packed=on", "queue-size=1024"),
    PACKED_SHALLOW("packed=on", "queue-size=8"),
    IN_ORDER("in_order=on"),
    PACKED_IN_ORDER("packed=on", "in_order=on");

    private final String[] qemuOptions;

    Variant(String... qemuOptions) {
      // QEMU's own choice is a queue for each virtual processor.
      this.qemuOptions = Arrays.copyOf(qemuOptions, qemuOptions.length + 1);
      this.qemuOptions[qemuOptions.length] = "num-queues=1";
    }

    boolean asks(String option) {
      return List.of(qemuOptions).contains(option);
    }

    /** QEMU refuses to start with an option that it does not know. */
    boolean runsOn(Machine machine) {
      return machine.offersInOrder() || !asks("in_order=on");
    }

    BlkOptions deviceOptions() {
      BlkOptions.Builder options = BlkOptions.builder().serial(name()).queueSize(1024);
      return (this == BLOCKS_OF_4096 ? options.blockSize(4096) : options).build();
    }
  }

  // Random data differs on each disk and in each block. It is read back from the device, not from
  // the page cache.
  static final String EACH_DISK =
      """
      for disk in /sys/block/vd*; do
        name=${disk##*/}
        serial=$(cat $disk/serial)
        dd if=/dev/urandom of=/tmp/data bs=65536 count=64 2>/dev/null
        dd if=/tmp/data of=/dev/$name bs=65536 seek=3 2>/dev/null
        sync
        echo 3 >/proc/sys/vm/drop_caches
        dd if=/dev/$name of=/tmp/back bs=65536 skip=3 count=64 2>/dev/null
        cmp /tmp/data /tmp/back
        say $serial.sum=$(sha256sum </tmp/data | cut -d' ' -f1)
        say $serial.features=$(cat $disk/device/features)
        say $serial.block=$(cat $disk/queue/logical_block_size)
        say $serial.requests=$(cat $disk/queue/nr_requests)
        say $serial.cache=$(cat $disk/queue/write_cache)
      done
      """;

  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(Machine.class)
  void everyVariantKeepsWhatIsWritten(Machine machine) throws Exception {
    Map<Variant, ServedDisk> disks = new LinkedHashMap<>();
    try {
      Guest.Builder builder = Guest.on(machine, folder);
      for (Variant variant : Variant.values()) {
        if (!variant.runsOn(machine)) {
          continue;
        }
        Path image = Host.image(folder, variant + ".img", SIZE);
        ServedDisk disk =
            new ServedDisk(
                image,
                folder.resolve(variant + ".sock"),
                variant.deviceOptions(),
                ServedDisk.WITH_IN_ORDER,
                Bus.VHOST_USER);
        disks.put(variant, disk);
        builder.disk(disk.socket(), variant.qemuOptions);
      }
      try (Guest guest = builder.boot(EACH_DISK)) {
        guest.awaitEnd();
        assertAll(
            disks.entrySet().stream()
                .map(e -> () -> check(machine, e.getKey(), e.getValue(), guest)));
      }
    } finally {
      disks.values().forEach(ServedDisk::close);
    }
  }

  private void check(Machine machine, Variant variant, ServedDisk disk, Guest guest)
      throws Exception {
    byte[] image = Files.readAllBytes(folder.resolve(variant + ".img"));
    byte[] written = Arrays.copyOfRange(image, 3 * 65536, 67 * 65536);
    assertEquals(guest.value(variant + ".sum"), Host.sha256(written), variant.name());
    String block = variant == Variant.BLOCKS_OF_4096 ? "4096" : "512";
    assertEquals(block, guest.value(variant + ".block"), variant.name());
    assertEquals("write back", guest.value(variant + ".cache"), variant.name());
    FeatureBits negotiated = disk.stats().negotiated();
    boolean eventIndex = !variant.asks("event_idx=off");
    boolean indirect = !variant.asks("indirect_desc=off");
    String names = variant + ": " + negotiated;
    assertEquals(eventIndex, negotiated.has(ReservedFeatures.VIRTIO_F_EVENT_IDX), names);
    assertEquals(indirect, negotiated.has(ReservedFeatures.VIRTIO_F_INDIRECT_DESC), names);
    assertEquals(
        variant != Variant.LEGACY, negotiated.has(ReservedFeatures.VIRTIO_F_VERSION_1), names);
    assertEquals(
        variant.asks("packed=on"), negotiated.has(ReservedFeatures.VIRTIO_F_RING_PACKED), names);
    assertEquals(
        machine.takesInOrder() && variant.asks("in_order=on"),
        negotiated.has(ReservedFeatures.VIRTIO_F_IN_ORDER),
        names);
    String accepted = guest.value(variant + ".features");
    for (int bit : ServedDisk.WITH_IN_ORDER.bits()) {
      assertEquals(accepted.charAt(bit) == '1', negotiated.has(bit), names + ", bit " + bit);
    }
    assertEquals(0, disk.stats().faults(), variant.name());
    assertEquals(0, disk.device().stats().ioErrors(), variant.name());
  }

  @ParameterizedTest
  @CsvSource({
    "DEBIAN_12, packed=off, VHOST_USER",
    "DEBIAN_12, packed=on, VHOST_USER",
    "DEBIAN_12, packed=on, MODERN_MSIX",
    "DEBIAN_13, packed=off, VHOST_USER",
    "DEBIAN_13, packed=on, VHOST_USER",
    "DEBIAN_13, packed=off, LEGACY_MSIX",
    "BACKPORTS, 'packed=off,in_order=on', VHOST_USER",
    "BACKPORTS, 'packed=on,in_order=on', VHOST_USER",
  })
  void fourProcessorsUseFourQueues(Machine machine, String format, Bus bus) throws Exception {
    AtomicLongArray reads = new AtomicLongArray(QUEUES);
    BlkOptions options =
        BlkOptions.builder()
            .queues(QUEUES)
            .observer(
                (queue, type, bytes, status, nanos) -> {
                  if (type == BlkRequestType.IN && status == VirtioBlk.VIRTIO_BLK_S_OK) {
                    reads.incrementAndGet(queue);
                  }
                })
            .build();
    String script =
        """
        say queues=$(ls /sys/block/vda/mq | wc -l)
        for cpu in 0 1 2 3; do
          taskset -c $cpu dd if=/dev/vda of=/dev/null bs=4096 skip=$((cpu * 1000)) count=200 \\
            iflag=direct 2>/dev/null &
        done
        wait
        """;
    Path image = Host.image(folder, "disk.img", SIZE);
    try (ServedDisk disk =
            new ServedDisk(
                image, folder.resolve("disk.sock"), options, ServedDisk.WITH_IN_ORDER, bus);
        Guest guest =
            Guest.on(machine, folder)
                .cpus(QUEUES)
                .disk(disk, format, "num-queues=" + QUEUES)
                .boot(script)) {
      guest.awaitEnd();
      assertEquals(String.valueOf(QUEUES), guest.value("queues"));
      assertTrue(disk.stats().negotiated().has(VirtioBlk.VIRTIO_BLK_F_MQ));
      for (int queue = 0; queue < QUEUES; queue++) {
        assertTrue(reads.get(queue) >= 200, "reads by queue: " + reads);
      }
      disk.assertNegotiated(format);
    }
  }
}
