package org.iommuemu.bench;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** What a benchmark's figure is compared with, and what it must reach. Without it: {@code reference}, no bar. */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
@interface Figure {
    /** The method of the same class, with the same parameters, that the time is divided by; empty for none. */
    String against() default "reference";

    /** A counter of the benchmark; iterations in which it is less than {@link #countedAtLeast} do not count. */
    String counter() default "";

    /** See {@link #counter}. */
    double countedAtLeast() default 0;

    /** Instead: the parameter over whose values the figure should be the same; it is divided by the smallest of them. */
    String flatIn() default "";

    /** The most that the ratio may be. */
    double atMost() default Double.NaN;

    /** The least that the throughput of all threads together may be, as a multiple of the other method's. */
    double atLeast() default Double.NaN;

    /** The most nanoseconds per operation. */
    double nsAtMost() default Double.NaN;

    /** The parameter that says how many operations one invocation is. */
    String perEach() default "";

    /** Descriptors that an operation loads, for the cost of one. */
    int loads() default 0;

    /** TLB entries that it looks up besides, each for a load or the output. */
    int lookUps() default 0;
}
