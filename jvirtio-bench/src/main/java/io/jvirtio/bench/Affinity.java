// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.bench;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Binds threads to processors, for measurements alone: nothing that ships does that. */
final class Affinity {
  /** Bytes of a cpu_set_t of glibc. */
  private static final int SET_BYTES = 128;

  private Affinity() {}

  /**
   * Binds the calling thread.
   *
   * @param cpu the processor's number, or negative to leave the thread alone
   * @throws IllegalStateException when the system refuses
   */
  static void pin(int cpu) {
    if (cpu < 0) {
      return;
    }
    MethodHandle call =
        Linker.nativeLinker()
            .downcallHandle(
                Linker.nativeLinker().defaultLookup().findOrThrow("sched_setaffinity"),
                FunctionDescriptor.of(
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.ADDRESS));
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment set = arena.allocate(SET_BYTES, 8);
      set.set(ValueLayout.JAVA_BYTE, cpu / 8, (byte) (1 << cpu % 8));
      if ((int) call.invokeExact(0, (long) SET_BYTES, set) != 0) {
        throw new IllegalStateException("cannot be pinned to processor " + cpu);
      }
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }

  /** The processors that this process may use, in order. */
  static List<Integer> allowed() throws IOException {
    List<Integer> cpus = new ArrayList<>();
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("Cpus_allowed_list:")) {
        for (String range : line.substring(line.indexOf(':') + 1).strip().split(",")) {
          String[] ends = range.split("-");
          for (int i = Integer.parseInt(ends[0]);
              i <= Integer.parseInt(ends[ends.length - 1]);
              i++) {
            cpus.add(i);
          }
        }
      }
    }
    return cpus;
  }
}
