// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;

/** Throws in one of its methods, and leaves the rest to another handler. */
final class ThrowingHandler implements UsedBufferHandler {
  private final String where;
  private final Throwable what;
  private final UsedBufferHandler rest;

  ThrowingHandler(String where, Throwable what, UsedBufferHandler rest) {
    this.where = where;
    this.what = what;
    this.rest = rest;
  }

  private void hit(String here) throws PeerFault {
    if (where.equals(here)) {
      switch (what) {
        case PeerFault fault -> throw fault;
        case RuntimeException bug -> throw bug;
        default -> throw (Error) what;
      }
    }
  }

  private void hitUnchecked(String here) {
    try {
      hit(here);
    } catch (PeerFault e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void used(DriverQueue queue) throws PeerFault {
    hit("used");
    rest.used(queue);
  }

  @Override
  public boolean poll(DriverQueue queue) throws PeerFault {
    hit("poll");
    return false;
  }

  @Override
  public boolean arm() {
    hitUnchecked("arm");
    return true;
  }

  @Override
  public void broken(DriverQueue queue, PeerFault fault) {
    rest.broken(queue, fault);
    hitUnchecked("broken");
  }
}
