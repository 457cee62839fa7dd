// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.random.RandomGenerator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * Runs what the fuzz targets start from, and keeps the files of the corpus: with {@code
 * -Djvirtio.corpus=write} it writes the seeds of {@link Corpus}, else they must be there.
 */
class CorpusTest {
  private static final Path CORPUS = Path.of("corpus");

  private static void target(Class<?> target, Map<String, byte[]> seeds, Consumer<byte[]> fuzzer)
      throws IOException {
    Path folder = CORPUS.resolve(target.getSimpleName());
    if ("write".equals(System.getProperty("jvirtio.corpus"))) {
      Files.createDirectories(folder);
      for (var seed : seeds.entrySet()) {
        Files.write(folder.resolve(seed.getKey()), seed.getValue());
      }
    }
    for (var seed : seeds.entrySet()) {
      assertArrayEquals(seed.getValue(), Files.readAllBytes(folder.resolve(seed.getKey())));
    }
    List<Path> files;
    try (Stream<Path> list = Files.list(folder)) {
      files = list.sorted().toList();
    }
    assertFalse(files.isEmpty());
    RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
    for (Path file : files) {
      byte[] input = Files.readAllBytes(file);
      assertTrue(input.length > 0);
      fuzzer.accept(input);
      // Every beginning of it, and some neighbours.
      for (int length = 0; length < input.length; length += 1 + input.length / 50) {
        fuzzer.accept(Arrays.copyOf(input, length));
      }
      for (int i = 0; i < 200; i++) {
        byte[] changed = input.clone();
        for (int j = random.nextInt(1, 4); j > 0; j--) {
          changed[random.nextInt(changed.length)] = (byte) random.nextInt();
        }
        run(file, changed, fuzzer);
      }
    }
  }

  private static void run(Path file, byte[] input, Consumer<byte[]> fuzzer) {
    try {
      fuzzer.accept(input);
    } catch (RuntimeException | Error e) {
      String hex = HexFormat.of().formatHex(input);
      throw new AssertionError("a neighbour of " + file + ": " + hex, e);
    }
  }

  @Test
  void splitQueue() throws IOException {
    target(SplitQueueFuzz.class, Corpus.splitQueue(), SplitQueueFuzz::fuzzerTestOneInput);
  }

  @Test
  void packedQueue() throws IOException {
    target(PackedQueueFuzz.class, PackedCorpus.packedQueue(), PackedQueueFuzz::fuzzerTestOneInput);
  }

  @Test
  void blkRequest() throws IOException {
    target(BlkRequestFuzz.class, Corpus.blkRequest(), BlkRequestFuzz::fuzzerTestOneInput);
  }

  @Test
  void vhostUserCodec() throws IOException {
    target(
        VhostUserCodecFuzz.class, Corpus.vhostUserCodec(), VhostUserCodecFuzz::fuzzerTestOneInput);
  }

  @Test
  void vfioUserCodec() throws IOException {
    target(VfioUserCodecFuzz.class, VfioCorpus.messages(), VfioUserCodecFuzz::fuzzerTestOneInput);
  }

  @Test
  void pciFunction() throws IOException {
    target(PciFunctionFuzz.class, PciCorpus.accesses(), PciFunctionFuzz::fuzzerTestOneInput);
  }

  @Test
  void mmioDevice() throws IOException {
    target(MmioDeviceFuzz.class, MmioCorpus.accesses(), MmioDeviceFuzz::fuzzerTestOneInput);
  }
}
