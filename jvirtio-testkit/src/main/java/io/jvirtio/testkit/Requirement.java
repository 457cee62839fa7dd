// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Repeatable;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * The requirement of the specification that a test shows. {@code docs/conformance.md} is generated
 * from these.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
@Repeatable(Requirements.class)
public @interface Requirement {
  /**
   * The heading in virtio 1.4, without its chapter and without "Device Requirements:", such as
   * {@code Split Virtqueues / The Virtqueue Used Ring}.
   */
  String section();

  /** The sentence, verbatim but for line breaks and mark-up. */
  String text();
}
