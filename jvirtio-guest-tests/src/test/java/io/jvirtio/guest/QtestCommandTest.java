// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code ./jvirtio probe}, {@code copy} and {@code bench blk} at the devices of a QEMU. */
@Timeout(300)
class QtestCommandTest {
  private static final int SIZE = 4 << 20;
  private static final String DISK = "virtio-blk-pci,drive=d,addr=05.0";

  @TempDir Path folder;

  private String run(String command, String... options) throws Exception {
    List<String> all = new ArrayList<>();
    all.add(Lab.home().resolve("jvirtio").toString());
    all.addAll(List.of(command.split(" ")));
    all.add("--qtest=" + folder.resolve("qtest"));
    all.add("--memory=" + folder.resolve("ram"));
    all.addAll(List.of(options));
    return Host.run(all.toArray(String[]::new));
  }

  private String refused(String command, String... options) {
    return assertThrows(AssertionError.class, () -> run(command, options)).getMessage();
  }

  private static void assertSays(String output, String... texts) {
    for (String text : texts) {
      assertTrue(output.contains(text), () -> "no " + text + " in:\n" + output);
    }
  }

  private Path image() throws Exception {
    return Patterns.image(folder, "disk.img", 1, SIZE);
  }

  /** Copies the disk out, something else in, that out again, and measures. */
  private void copyAndMeasure(Path image, String... options) throws Exception {
    Path old = folder.resolve("old.img");
    run("copy --verify", with(options, old.toString()));
    assertEquals(-1, Files.mismatch(image, old));
    Path other = Patterns.image(folder, "other.img", 2, SIZE);
    assertSays(run("copy --to-device --verify", with(options, other.toString())), "verified");
    assertEquals(-1, Files.mismatch(image, other));
    Files.delete(old);
    run("copy", with(options, old.toString()));
    assertEquals(-1, Files.mismatch(other, old));
    String measured = run("bench blk --runtime=0.3 --iodepth=4 --json", options);
    assertSays(measured, "\"kiops\":", "\"VIRTIO_BLK_F_FLUSH\"");
    assertFalse(measured.contains("\"calls\":0,"), measured);
  }

  private static String[] with(String[] options, String last) {
    String[] all = Arrays.copyOf(options, options.length + 1);
    all[options.length] = last;
    return all;
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "--irq=msix", "--irq=msix-shared", "--irq=intx", "--legacy", "--packed=on"})
  void aDiskOfAQ35(String option) throws Exception {
    Path image = image();
    String disk = option.equals("--packed=on") ? DISK + ",packed=on" : DISK;
    try (QtestQemu _ = start("q35", image, "-device", disk, "-device", "virtio-rng-pci")) {
      copyAndMeasure(image, option.isEmpty() ? new String[0] : new String[] {option});
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"on", "off"})
  void aDiskOfAMicrovm(String legacy) throws Exception {
    Path image = image();
    try (QtestQemu _ = microvm(image, legacy)) {
      copyAndMeasure(image, "--device=0xfeb00e00");
      String text = run("probe");
      assertSays(
          text,
          "mmio@0xfeb00e00 on virtio-mmio",
          "mmio@0xfeb00c00 on virtio-mmio",
          "rng (device id 4)",
          "blk (device id 2)",
          legacy.equals("on") ? "legacy" : "modern",
          "one line",
          "8192 sectors (4 MiB)");
      if (legacy.equals("off")) {
        // QEMU shows its second word of features again where there is none.
        assertFalse(text.contains("not in the specification"), text);
      }
    }
  }

  /** Waits until it listens. */
  private QtestQemu start(String machine, Path image, String... more) throws Exception {
    QtestQemu qemu = new QtestQemu(folder, machine, image, more);
    boolean done = false;
    try {
      qemu.connect().close();
      done = true;
      return qemu;
    } finally {
      if (!done) {
        qemu.close();
      }
    }
  }

  private QtestQemu microvm(Path image, String legacy) throws Exception {
    return start(
        "microvm,acpi=off",
        image,
        "-global",
        "virtio-mmio.force-legacy=" + legacy,
        "-device",
        "virtio-blk-device,drive=d",
        "-device",
        "virtio-rng-device");
  }

  @Test
  void everyDeviceIsShown() throws Exception {
    try (QtestQemu _ =
        start(
            "q35",
            image(),
            "-device",
            DISK
                + ",disable-legacy=on,num-queues=3,logical_block_size=4096,physical_block_size=4096",
            "-device",
            "virtio-rng-pci,addr=06.0,disable-legacy=off,disable-modern=on,vectors=0",
            "-device",
            "virtio-balloon-pci,addr=07.0")) {
      String text = run("probe");
      assertSays(
          text,
          "0000:00:05.0 on PCI",
          "blk (device id 2)",
          "interface          modern\n",
          "MSI-X with 4 vectors, pin INTA",
          "3, each of up to 256",
          "VIRTIO_BLK_F_MQ",
          "VIRTIO_F_VERSION_1",
          "blk_size                       4096",
          "0000:00:06.0 on PCI",
          "interface          legacy\n",
          "no MSI-X, pin INTA",
          "0000:00:07.0 on PCI",
          "transitional: modern and legacy; asked by the modern one",
          "balloon (device id 5)",
          "num_pages");
      String json = run("probe", "--json", "--device=00:05.0");
      assertSays(
          json,
          "\"address\":\"0000:00:05.0\",\"bus\":\"pci\",\"device\":{\"id\":2,\"name\":\"blk\"}",
          "\"interfaces\":\"modern\",\"askedByLegacy\":false,\"msixVectors\":4,\"pin\":\"INTA\"",
          "\"queueSizes\":[256,256,256]",
          "\"num_queues\":3");
      assertFalse(json.contains("0000:00:06.0"), json);
      String legacy = run("probe", "--legacy", "--device=00:07.0");
      assertSays(legacy, "asked by the legacy one");
      assertFalse(legacy.contains("VERSION_1"), legacy);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "copy, --device=00:06.0, 'is no block device, but: 0000:00:06.0 (rng)'",
    "copy, --device=00:09.0, no virtio device at 00:09.0",
    "copy, --device=disk, no virtio device at disk",
    "copy, --irq=intx, 2 block devices: name one by --device",
    "probe, --legacy, 0000:00:05.0 has no legacy interface",
    "bench blk, --device=00:05.0 --iodepth=256 --blocksize=1M, start QEMU with a larger one",
  })
  void whatCannotBe(String command, String options, String part) throws Exception {
    try (QtestQemu _ =
        start(
            "q35",
            image(),
            "-device",
            DISK + ",disable-legacy=on,share-rw=on",
            "-device",
            "virtio-rng-pci,addr=06.0",
            "-device",
            "virtio-blk-pci,drive=d,addr=07.0,share-rw=on")) {
      String[] all = options.split(" ");
      String[] args =
          command.equals("copy") ? with(all, folder.resolve("out.img").toString()) : all;
      String output = refused(command, args);
      assertSays(output, "ended with 1", part);
      assertTrue(Files.notExists(folder.resolve("out.img")));
    }
  }

  @Test
  void aQemuWithoutSuchDevices() throws Exception {
    try (QtestQemu _ = start("q35", image())) {
      assertSays(refused("probe"), "has no virtio device: add one");
      assertSays(refused("bench blk"), "has no virtio device: add one");
    }
  }

  @Test
  void anotherFileThanItsMemory() throws Exception {
    try (QtestQemu _ = microvm(image(), "off")) {
      Path wrong = Host.image(folder, "wrong", 64 << 20);
      Path small = Host.image(folder, "small", 1 << 20);
      assertSays(refused("probe", "--device=0xfeb00e00", "--memory=" + wrong), "--memory");
      Files.move(folder.resolve("ram"), folder.resolve("real"));
      Files.move(wrong, folder.resolve("ram"));
      assertSays(refused("probe"), "is not the RAM of");
      Files.delete(folder.resolve("ram"));
      assertSays(refused("probe"), "there is no file", "mem-path");
      Files.move(small, folder.resolve("ram"));
      assertSays(refused("probe"), "no RAM above the first MiB");
      Files.delete(folder.resolve("ram"));
      Files.move(folder.resolve("real"), folder.resolve("ram"));
      assertSays(run("probe"), "virtio-mmio");
    }
  }
}
