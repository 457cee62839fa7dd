// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;

/**
 * How much a thread has allocated. By reflection, since the module does not, and should not,
 * require the management modules.
 */
final class Allocations {
  private final Object bean;
  private final Method allocated;

  Allocations() throws ReflectiveOperationException {
    Class<?> factory = Class.forName("java.lang.management.ManagementFactory");
    bean = factory.getMethod("getThreadMXBean").invoke(null);
    allocated =
        Class.forName("com.sun.management.ThreadMXBean")
            .getMethod("getCurrentThreadAllocatedBytes");
  }

  /** Bytes since the thread started. */
  long ofCurrentThread() {
    try {
      return (long) allocated.invoke(bean);
    } catch (IllegalAccessException | InvocationTargetException e) {
      throw new AssertionError(e);
    }
  }
}
