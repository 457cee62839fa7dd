// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.util.Arrays;

/**
 * The one class that makes native calls and reinterprets memory. Grant it with {@code
 * --enable-native-access=io.jvirtio.linux}.
 *
 * <p>Everything goes through the C library's {@code syscall(2)}: one signature for all calls, the
 * kernel's own structure layouts, and no dependence on which C library has which wrapper. Pointers
 * are passed as addresses; the caller keeps the memory reachable until the call is over. No call is
 * "critical", since almost any system call can block.
 *
 * <p>Results are the kernel's: a value, or a negated error number. Any thread; the state that
 * captures {@code errno} is one small segment for each thread, so a call allocates nothing.
 */
final class Libc {
  /** Bytes of {@link #scratch}. */
  static final int SCRATCH_SIZE = 512;

  private static final StructLayout CAPTURE = Linker.Option.captureStateLayout();
  private static final VarHandle ERRNO = CAPTURE.varHandle(PathElement.groupElement("errno"));
  private static final MethodHandle SYSCALL_3 = handle(3);
  private static final MethodHandle SYSCALL_6 = handle(6);
  private static final ThreadLocal<PerThread> PER_THREAD = ThreadLocal.withInitial(PerThread::new);

  private Libc() {}

  /** Native memory that one thread uses again for each call. */
  private static final class PerThread {
    private final MemorySegment capture = Arena.ofAuto().allocate(CAPTURE);
    private MemorySegment scratch;
  }

  private static MethodHandle handle(int arguments) {
    MemoryLayout[] layouts = new MemoryLayout[1 + arguments];
    Arrays.fill(layouts, ValueLayout.JAVA_LONG);
    Linker linker = Linker.nativeLinker();
    MemorySegment symbol =
        linker
            .defaultLookup()
            .find("syscall")
            .orElseThrow(() -> new UnsatisfiedLinkError("the C library has no syscall()"));
    return linker.downcallHandle(
        symbol,
        FunctionDescriptor.of(ValueLayout.JAVA_LONG, layouts),
        Linker.Option.firstVariadicArg(1),
        Linker.Option.captureCallState("errno"));
  }

  /** The whole address space as one segment in the global scope. */
  static MemorySegment addressSpace() {
    return MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
  }

  /**
   * Native memory of the current thread for structures that live no longer than one call, 8-byte
   * aligned, {@link #SCRATCH_SIZE} bytes of whatever the last user left.
   */
  static MemorySegment scratch() {
    PerThread own = PER_THREAD.get();
    if (own.scratch == null) {
      own.scratch = Arena.ofAuto().allocate(SCRATCH_SIZE, 8);
    }
    return own.scratch;
  }

  /** A call with up to three arguments. */
  static long call(long number, long a, long b, long c) {
    MemorySegment capture = PER_THREAD.get().capture;
    long result;
    try {
      result = (long) SYSCALL_3.invokeExact(capture, number, a, b, c);
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return result != -1 ? result : -(int) ERRNO.get(capture, 0L);
  }

  /** A call with up to six arguments. */
  static long call(long number, long a, long b, long c, long d, long e, long f) {
    MemorySegment capture = PER_THREAD.get().capture;
    long result;
    try {
      result = (long) SYSCALL_6.invokeExact(capture, number, a, b, c, d, e, f);
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return result != -1 ? result : -(int) ERRNO.get(capture, 0L);
  }

  /** As {@link #call(long, long, long, long)}, repeated for as long as a signal interrupts it. */
  static long retry(long number, long a, long b, long c) {
    long result;
    do {
      result = call(number, a, b, c);
    } while (result == -Errno.EINTR);
    return result;
  }

  /** As the call with six arguments, repeated for as long as a signal interrupts it. */
  static long retry(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    do {
      result = call(number, a, b, c, d, e, f);
    } while (result == -Errno.EINTR);
    return result;
  }

  // The handles declare Throwable; what really comes is an Error of the virtual machine.
  private static Error unexpected(Throwable t) {
    if (t instanceof Error error) {
      return error;
    }
    return new AssertionError("a downcall threw", t);
  }
}
