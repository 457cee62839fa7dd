// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.Test;

/** Threads and processors. */
class CpuAffinityTest {
  @Test
  void listsAreReadAsTheKernelWritesThem() {
    assertEquals(List.of(0), CpuAffinity.parse("0"));
    assertEquals(List.of(0, 1, 2, 3, 8, 10, 11), CpuAffinity.parse("0-3,8,10-11"));
  }

  @Test
  void aPinnedThreadRunsOnOneProcessor() throws Exception {
    List<Integer> allowed = CpuAffinity.allowed();
    assertFalse(allowed.isEmpty());
    int cpu = allowed.getLast();
    FutureTask<String> task =
        new FutureTask<>(
            () -> {
              CpuAffinity.pin(cpu);
              return Files.readString(Path.of("/proc/thread-self/status"));
            });
    Thread.ofPlatform().start(task);
    String line =
        task.get().lines().filter(l -> l.startsWith("Cpus_allowed_list:")).findFirst().get();
    assertEquals("Cpus_allowed_list:\t" + cpu, line);
  }

  @Test
  void aProcessorThatIsNotThereIsRefused() throws Exception {
    FutureTask<Object> task =
        new FutureTask<>(
            () -> {
              assertThrows(IllegalArgumentException.class, () -> CpuAffinity.pin(-1));
              assertThrows(IllegalArgumentException.class, () -> CpuAffinity.pin(1024));
              return assertThrows(LinuxException.class, () -> CpuAffinity.pin(1023));
            });
    Thread.ofPlatform().start(task);
    task.get();
  }
}
