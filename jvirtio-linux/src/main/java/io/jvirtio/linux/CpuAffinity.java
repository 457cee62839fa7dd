// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The processors that threads may run on. */
public final class CpuAffinity {
  /** Bytes of a cpu_set_t of glibc: processors 0 to 1023. */
  private static final int SET_BYTES = 128;

  private CpuAffinity() {}

  /**
   * Binds the calling thread to one processor, for good.
   *
   * @param cpu its number, 0 to 1023
   * @throws LinuxException when the thread may not run there (EINVAL)
   */
  public static void pin(int cpu) throws LinuxException {
    if (cpu < 0 || cpu >= 8 * SET_BYTES) {
      throw new IllegalArgumentException("processor " + cpu);
    }
    MemorySegment set = Libc.scratch().asSlice(0, SET_BYTES).fill((byte) 0);
    set.set(ValueLayout.JAVA_BYTE, cpu / 8, (byte) (1 << cpu % 8));
    long result = Libc.call(SystemCall.SCHED_SETAFFINITY, 0, SET_BYTES, set.address());
    LinuxException.check("sched_setaffinity", result);
  }

  /**
   * The processors that the calling thread's process was started on, ascending.
   *
   * @throws IOException when the kernel does not say
   */
  public static List<Integer> allowed() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("Cpus_allowed_list:")) {
        return parse(line.substring(line.indexOf(':') + 1).strip());
      }
    }
    throw new IOException("no Cpus_allowed_list in /proc/self/status");
  }

  /** A list as the kernel writes it, such as {@code 0-3,8}. */
  static List<Integer> parse(String ranges) {
    List<Integer> cpus = new ArrayList<>();
    for (String range : ranges.split(",")) {
      String[] ends = range.split("-");
      int last = Integer.parseInt(ends[ends.length - 1]);
      for (int cpu = Integer.parseInt(ends[0]); cpu <= last; cpu++) {
        cpus.add(cpu);
      }
    }
    return cpus;
  }
}
