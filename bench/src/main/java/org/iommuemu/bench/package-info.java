/**
 * JMH benchmarks of the paths that decide how fast the emulator is, each next to the same work in C: a class has one
 * method {@code reference}, which the other methods' times are divided by.
 */
package org.iommuemu.bench;
