// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.device.EventSource;

/**
 * Learns of what a task or a source of an {@link EventLoop} threw. Called on the owner thread; the
 * loop goes on whatever it does.
 */
@FunctionalInterface
public interface FaultHandler {
  /**
   * Something threw.
   *
   * @param source what threw, which the handler normally removes from the loop and breaks; null
   *     when it was a task
   * @param fault the exception; {@link InternalError} when a file was truncated under its mapping
   */
  void onFault(EventSource source, Throwable fault);
}
