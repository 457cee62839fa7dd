// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.io.StringWriter;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Bad input: one line on standard error that says what is wrong and what to do, and exit codes. */
class UsageTest {
  @TempDir private Path folder;

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private Path image;

  @BeforeEach
  void makeImage() throws IOException {
    image = sized("disk.img", 1 << 20);
  }

  private Path sized(String name, long bytes) throws IOException {
    Path file = folder.resolve(name);
    try (RandomAccessFile content = new RandomAccessFile(file.toFile(), "rw")) {
      content.setLength(bytes);
    }
    return file;
  }

  private int run(String... args) {
    return Main.run(new PrintWriter(out, true), new PrintWriter(err, true), args);
  }

  private String socket() {
    return "--socket-path=" + folder.resolve("s");
  }

  private void assertOneLine(String... parts) {
    assertEquals(1, err.toString().lines().count(), err.toString());
    for (String part : parts) {
      assertTrue(err.toString().contains(part), err + " lacks: " + part);
    }
    assertEquals("", out.toString());
  }

  private void assertImageFails(Path file, String... parts) {
    assertEquals(1, run("blk", socket(), "--blk-file=" + file));
    assertOneLine(parts);
    assertTrue(Files.notExists(folder.resolve("s")), "a socket is left");
  }

  private void assertSocketFails(Path path, String... parts) {
    assertEquals(1, run("blk", "--socket-path=" + path, "--blk-file=" + image));
    assertOneLine(parts);
  }

  @Test
  void capabilitiesIgnoreEverythingElse() {
    assertEquals(0, run("blk", "--nonsense", "--fd=x", "--print-capabilities"));
    assertEquals(
        "{\"type\":\"block\",\"features\":[\"read-only\",\"blk-file\"]}", out.toString().strip());
    assertEquals("", err.toString());
  }

  @Test
  void versionAndHelpGoToStandardOutput() {
    assertEquals(0, run("--version"));
    assertTrue(out.toString().startsWith("jvirtio "), out.toString());
    assertEquals(0, run("blk", "--help"));
    assertTrue(out.toString().contains("qemu-system-x86_64"), out.toString());
    assertTrue(out.toString().contains("vhost-user-blk-pci"), out.toString());
    assertEquals("", err.toString());
  }

  @ParameterizedTest
  @CsvSource({
    "--blk-files=x, unknown option --blk-files",
    "--mode=fast, '--mode'",
    "--num-queues=0, number of queues is 0",
    "--num-queues=257, number of queues is 257",
    "--num-queues=x, '--num-queues'",
    "--queue-size=300, queue size is 300",
    "--queue-size=65536, queue size is 65536",
    "--block-size=700, block size is 700",
    "--serial=123456789012345678901, up to 20",
    "--cache=none, '--cache'",
    "--discard=maybe, '--discard'",
    "--packed=maybe, '--packed'",
    "--packed, '--packed'",
    "--in-order=yes, '--in-order'",
    "--event-idx=1, '--event-idx'",
    "--indirect=, '--indirect'",
    "--no-indirect, unknown option --no-indirect",
    "--log-level=loud, '--log-level'",
    "--fd=3, mutually exclusive",
    "stray, unknown argument stray",
  })
  void wrongUsage(String option, String part) {
    assertEquals(2, run("blk", socket(), "--blk-file=" + image, option));
    assertOneLine(part, "see 'jvirtio blk --help'");
  }

  @Test
  void missingOptions() {
    assertEquals(2, run("blk", "--blk-file=" + image));
    assertOneLine("--socket-path", "--fd");
  }

  @Test
  void unknownOptionIsNamedBeforeWhatIsMissing() {
    assertEquals(2, run("blk", "--bulk-file=x"));
    assertOneLine("unknown option --bulk-file");
  }

  @ParameterizedTest
  @CsvSource({
    "--profile=old, '--profile'",
    "--irq=msi, '--irq'",
    "--num-queues=257, number of queues is 257",
    "--print-capabilities, unknown option --print-capabilities",
    "--profile=legacy --packed=on, --packed=on and --profile=legacy do not go together",
    "--profile=legacy --in-order=on, --in-order=on and --profile=legacy do not go together",
  })
  void wrongUsageOfPci(String options, String part) {
    String[] more = options.split(" ");
    String[] args = {"pci", "blk", socket(), "--blk-file=" + image, more[0], more[more.length - 1]};
    assertEquals(2, run(more.length == 2 ? args : Arrays.copyOf(args, 5)));
    assertOneLine(part, "see 'jvirtio pci blk --help'");
  }

  @Test
  void pciFailsLikeBlk() throws IOException {
    assertEquals(2, run("pci"));
    assertOneLine("the type of the device is missing: blk");
    err.getBuffer().setLength(0);
    assertEquals(1, run("pci", "blk", socket(), "--blk-file=" + folder.resolve("none")));
    assertOneLine("jvirtio pci blk: ", "does not exist", "truncate");
    err.getBuffer().setLength(0);
    Path path = folder.resolve("living");
    try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      server.bind(UnixDomainSocketAddress.of(path));
      String quiet = "--log-level=error";
      assertEquals(1, run("pci", "blk", "--socket-path=" + path, "--blk-file=" + image, quiet));
      assertOneLine("in use", "end the server");
    }
  }

  @Test
  void pciHelpShowsTheCommandOfQemu() {
    assertEquals(0, run("pci", "blk", "--help"));
    assertTrue(out.toString().contains("vfio-user-pci"), out.toString());
    assertTrue(out.toString().contains("share=on"), out.toString());
    assertTrue(out.toString().contains("10.1"), out.toString());
    assertEquals("", err.toString());
  }

  @Test
  void missingAndUnknownCommand() {
    assertEquals(2, run());
    assertOneLine("a command is missing");
    err.getBuffer().setLength(0);
    assertEquals(2, run("serve"));
    assertOneLine("unknown argument serve");
  }

  @ParameterizedTest
  @CsvSource({"boot, Offer", "blk, Allow", "pci blk, Allow", "copy, Allow", "demo, Allow"})
  void helpHasTheSwitchesOfTheRings(String command, String verb) {
    assertEquals(0, run((command + " --help").split(" ")));
    String help = out.toString();
    for (String option : new String[] {"--packed", "--in-order", "--event-idx", "--indirect"}) {
      assertTrue(
          help.lines().anyMatch(line -> line.contains(option) && line.contains(verb)),
          option + " in: " + help);
    }
  }

  @ParameterizedTest
  @CsvSource({"--packed=maybe", "--in-order", "--event-idx=1", "--indirect=yes"})
  void bootRefusesOtherValues(String option) {
    assertEquals(2, run("boot", option));
    assertOneLine("'" + option.replaceFirst("=.*", "") + "'", "see 'jvirtio boot --help'");
  }

  @Test
  void bootRefusesWhatCannotBe() {
    assertEquals(2, run("boot", "--queues=0"));
    assertOneLine("--queues is 0");
    err.getBuffer().setLength(0);
    assertEquals(2, run("boot", "--interactive", "--json"));
    assertOneLine("do not go together");
    err.getBuffer().setLength(0);
    assertEquals(2, run("boot", "--irq=intx"));
    assertOneLine("--irq is for --bus=pci");
    err.getBuffer().setLength(0);
    assertEquals(2, run("boot", "--bus=pci", "--profile=legacy", "--packed"));
    assertOneLine("--packed=on and --profile=legacy do not go together");
    err.getBuffer().setLength(0);
    assertEquals(2, run("boot", "--bus=isa"));
    assertOneLine("'--bus'");
    err.getBuffer().setLength(0);
    assertEquals(1, run("boot", "--kernel=" + folder.resolve("none")));
    assertOneLine("there is no such file");
  }

  @Test
  void imageMissing() {
    assertImageFails(folder.resolve("none"), "does not exist", "truncate");
  }

  @Test
  void imageIsADirectory() {
    assertImageFails(folder, "is a directory", "name an image file");
  }

  @Test
  void imageIsEmpty() throws IOException {
    assertImageFails(sized("empty", 0), "is empty", "truncate");
  }

  @Test
  void imageIsNoMultipleOfTheBlock() throws IOException {
    assertImageFails(sized("odd", 1000), "1000 bytes", "512", "truncate -s %512");
  }

  @Test
  void socketInMissingDirectory() {
    assertSocketFails(folder.resolve("no/s"), "there is no directory", "create it");
  }

  @Test
  void socketPathTooLong() {
    assertSocketFails(folder.resolve("s".repeat(108)), "too long", "107");
  }

  @Test
  void socketPathIsAFile() throws IOException {
    assertSocketFails(image, "is not a socket", "another path");
    assertEquals(1 << 20, Files.size(image));
  }

  @Test
  void livingServerIsNotReplaced() throws IOException {
    Path path = folder.resolve("living");
    try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      server.bind(UnixDomainSocketAddress.of(path));
      assertSocketFails(path, "in use", "end the server");
      assertTrue(Files.exists(path), "the socket is gone");
    }
  }

  @Test
  void descriptorThatIsNoSocket() {
    assertEquals(1, run("blk", "--fd=9999", "--blk-file=" + image, "--log-level=error"));
    assertOneLine("--fd=9999", "no UNIX stream socket");
  }
}
