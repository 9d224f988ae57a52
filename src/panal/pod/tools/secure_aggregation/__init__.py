"""Secure aggregation: the aggregator learns the sum of the sites' numbers, and nothing else about them. Without a framework.

The protocol of Bonawitz et al., Practical Secure Aggregation for Privacy-Preserving Machine Learning (2017), against an aggregator that
follows it and wants to know more. A session has five steps, in each of which sites may drop out:

1. Keys: each site makes two key pairs of X25519 and sends the public ones. The aggregator lists them (`roster`).
2. Shares: each site draws a seed, and splits the seed and its private key for masks into shares (`shamir`), one for each site. It seals
   each share for its site and sends all of them to the aggregator.
3. Masked input: each site adds to its numbers (`fixed_point`, modulo 2^64) a stream from its seed, and for each other site a stream from
   the secret that both share: one of the two adds it, the other subtracts it (`masks`). The aggregator adds up what arrives.
4. Survivors: the aggregator tells each site whose masked input has arrived. The site vouches to each of them that it was told exactly
   these.
5. Unmasking: a site for which `threshold` sites vouch opens what was sealed for it, and sends the shares of the seeds of the survivors,
   and of the keys of those that have dropped out after step 2. With `threshold` answers the aggregator reckons the streams that are still
   in the sum.

`site` has what a site does, and `aggregator` what the aggregator reckons. Nothing of a session is used in another one.
"""
