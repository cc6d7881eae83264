/*
 * Changing the store set of a group, with stores that forget.
 *
 * Three stores, slots 0 to 2, vote in version 1; slot 3 is a spare that some scopes have. A slot
 * that forgets comes back empty under its next incarnation. Coordinators decide what version 2 is
 * by single-decree ballots on the voters of version 1, seal it, dump, merge and install. Leaders
 * of either version append meanwhile. What is sent may arrive at any later moment, again, or not
 * at all; a process that takes no further step has crashed.
 *
 * A log is a byte: two bits for each epoch, the first entry of it in the lower one. Of two logs
 * that leaders can have written, the one with the greater (te, ts) is then the greater number.
 *
 * What must hold is asserted after each change: whoever would be elected now, in either version,
 * by any quorum that is able to, finds every acknowledged entry. No epoch is won again.
 */

#ifndef FORGETS
#define FORGETS 1
#endif
#ifndef LEADERS
#define LEADERS 1
#endif
#ifndef COORDINATORS
#define COORDINATORS 2
#endif

#define Q 2

#ifdef SPARE
#define SLOTS 4
#define EACH_SLOT(step) :: step(0) :: step(1) :: step(2) :: step(3)
#else
#define SLOTS 3
#define EACH_SLOT(step) :: step(0) :: step(1) :: step(2)
#endif

/* Stores: what each remembers. */
byte inc[SLOTS];     /* incarnation */
byte ver[SLOTS];     /* version of the group, 0 for absent */
bool sealed[SLOTS];
byte pe[SLOTS];      /* promised epoch */
byte tail[SLOTS];    /* log */
byte mb[SLOTS], ab[SLOTS], av[SLOTS];  /* ballot promised, ballot accepted, description accepted */
byte before[SLOTS];  /* how many incarnations have gone */

/* What no process knows: for the assertions. */
byte decided;        /* the description of version 2, 0 for none */
byte acked;          /* entries acknowledged, in any version */
byte acked1;         /* those of version 1 */
byte elected1;       /* greatest epoch with a quorum of grants in version 1 */
byte closed;         /* incarnations of version 1 that have been sealed, a mask */

#define BIT(i) (1 << (i))
#define COUNT(m) (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1) + (((m) >> 3) & 1))
#define LONGER(m) (COUNT(m) + COUNT((m) >> 4))

/* Description 1, 2, 3: that slot's next incarnation for the one that forgot. 4: slot 3 for slot 2. */
#define NEED(d, i) ((d) == 4 -> ((i) == 2 -> 0 : 1) : ((i) == 3 -> 0 : ((d) == (i) + 1 -> 2 : 1)))

#define IN_V1(i) ((i) < 3 && inc[i] == 1 && ver[i] == 1)
#ifdef SEALED_APPENDS
#define OPEN_V1(i) IN_V1(i)
#else
#define OPEN_V1(i) (IN_V1(i) && !sealed[i])
#endif
#define NAMED_V2(i) (decided != 0 && NEED(decided, i) != 0 && inc[i] == NEED(decided, i))
#ifdef VERSION_ON_SIGHT
#define OPEN_V2(i) NAMED_V2(i)
#else
#define OPEN_V2(i) (NAMED_V2(i) && ver[i] == 2)
#endif

#ifdef MIXED_VERSIONS
#define OPEN(w, i) (OPEN_V1(i) || OPEN_V2(i))
#else
#define OPEN(w, i) (((w) == 1 && OPEN_V1(i)) || ((w) == 2 && OPEN_V2(i)))
#endif

#define BEST(x, y) ((x) > (y) -> (x) : (y))
#ifdef LONGEST_LOG
#define MERGED(x, y) (LONGER(x) >= LONGER(y) -> (x) : (y))
#else
#define MERGED(x, y) BEST(x, y)
#endif

/* A quorum that could elect somebody at this moment would find all that was acknowledged. */
#define FINDS(x, y) ((acked & ~BEST(tail[x], tail[y])) == 0)
#define SAFE1(x, y) (!(OPEN_V1(x) && OPEN_V1(y)) || (FINDS(x, y) && COUNT(closed) < Q))
#define SAFE2(x, y) (!(OPEN_V2(x) && OPEN_V2(y)) || FINDS(x, y))
#ifdef SPARE
#define SAFE_SPARE (SAFE2(0, 3) && SAFE2(1, 3) && SAFE2(2, 3))
#else
#define SAFE_SPARE true
#endif
#define CHECK \
	assert(SAFE1(0, 1) && SAFE1(0, 2) && SAFE1(1, 2)); \
	assert(SAFE2(0, 1) && SAFE2(0, 2) && SAFE2(1, 2) && SAFE_SPARE)

/* ---- a store forgets, and has minted its next incarnation ---- */

#ifdef NAIVE_REJOIN
#define LOSE(i) sealed[i] = false
#else
#define LOSE(i) inc[i] = inc[i] + 1; ver[i] = 0; sealed[i] = false
#endif
#define FORGET(i) d_step { left > 0 -> left--; LOSE(i); pe[i] = 0; tail[i] = 0; \
	mb[i] = 0; ab[i] = 0; av[i] = 0; CHECK }

/* The delayed duplicate of a mint that carried the incarnation with it. */
#define MINT_AGAIN(i) d_step { inc[i] > 1 && ver[i] == 0 -> inc[i] = inc[i] - 1; CHECK }

proctype Fate()
{
	byte left = FORGETS;
	do
	EACH_SLOT(FORGET)
#ifdef CLIENT_MINTED
	EACH_SLOT(MINT_AGAIN)
#endif
	od
}

/* ---- leaders ---- */

#define PREPARE(i) d_step { OPEN(w, i) && e > pe[i] && !(had & BIT(i)) -> \
	pe[i] = e; had = had | BIT(i); mine = BEST(mine, tail[i]); \
	if \
	:: COUNT(had) == Q && w == 1 -> elected1 = BEST(elected1, e) \
	:: COUNT(had) == Q && w == 2 -> assert(e > elected1) \
	:: else \
	fi; \
	CHECK }

#define APPEND(i) d_step { OPEN(w, i) && e >= pe[i] && !(had & BIT(i)) -> \
	pe[i] = e; tail[i] = BEST(tail[i], mine); had = had | BIT(i); \
	if \
	:: COUNT(had) == Q -> acked = acked | mine; \
		if :: w == 1 -> acked1 = acked1 | mine :: else fi \
	:: else \
	fi; \
	CHECK }

proctype Leader(byte e)
{
	byte w = 1;
	byte had;   /* stores that granted, then those that stored all of it: a mask */
	byte mine;  /* the log */

	if
	:: w = 1
	:: decided != 0 -> w = 2
	fi;
	do
	EACH_SLOT(PREPARE)
	:: d_step { COUNT(had) >= Q ->
		mine = mine | BIT(2 * (e - 1)); had = 0 } -> break
	od;
	do
	EACH_SLOT(APPEND)
	:: d_step { !(mine & BIT(2 * e - 1)) -> mine = mine | BIT(2 * e - 1); had = 0 }
	od
}

/* ---- coordinators ---- */

#define PROMISE(i) d_step { OPEN_V1(i) && b > mb[i] && !(had & BIT(i)) -> \
	mb[i] = b; had = had | BIT(i); \
	if :: ab[i] > best -> best = ab[i]; ADOPT(i) :: else fi }
#ifdef OWN_VALUE
#define ADOPT(i) skip
#else
#define ADOPT(i) d = av[i]
#endif

#ifdef ACCEPT_ANY_BALLOT
#define MAY_ACCEPT(i) true
#else
#define MAY_ACCEPT(i) (b >= mb[i])
#endif
#define ACCEPT(i) d_step { OPEN_V1(i) && MAY_ACCEPT(i) && !(had & BIT(i)) -> \
	mb[i] = b; ab[i] = b; av[i] = d; had = had | BIT(i) }

/* Sealed stores, and those that are in version 2 already, show what was decided. */
#define SHOWS(i) ((IN_V1(i) && sealed[i]) || ver[i] == 2)
#ifdef SPARE
#define SIGNPOST (decided != 0 && (SHOWS(0) || SHOWS(1) || SHOWS(2) || SHOWS(3)))
#else
#define SIGNPOST (decided != 0 && (SHOWS(0) || SHOWS(1) || SHOWS(2)))
#endif

#define SEAL(i) d_step { IN_V1(i) && !sealed[i] -> \
	sealed[i] = true; closed = closed | BIT(i); CHECK }

#define TAKE(i) had = had | BIT(i); mpe = BEST(mpe, pe[i]); mtail = MERGED(mtail, tail[i])

/* All promises and commits of version 1 are in the merge: by now they are final. */
#define HOLDS_ALL assert(COUNT(had) < Q || (mpe >= elected1 && (acked1 & ~mtail) == 0))

#ifdef DUMP_BEFORE_SEAL
#define MAY_DUMP(i) IN_V1(i)
#define MERGE_CHECKED skip
#define MAY_INSTALL (COUNT(had) >= Q && COUNT(closed) >= Q)
#else
#define MAY_DUMP(i) (IN_V1(i) && sealed[i])
#define MERGE_CHECKED HOLDS_ALL
#define MAY_INSTALL (COUNT(had) >= Q)
#endif
#ifdef EMPTY_DUMP
#define DUMPABLE(i) (MAY_DUMP(i) || ((i) < 3 && ver[i] == 0))
#else
#define DUMPABLE(i) MAY_DUMP(i)
#endif
#ifdef ONE_DUMP
#define ENOUGH 1
#else
#define ENOUGH Q
#endif
#define DUMP(i) d_step { COUNT(had) < ENOUGH && DUMPABLE(i) && !(had & BIT(i)) -> \
	TAKE(i); if :: COUNT(had) == ENOUGH -> had = 7 :: else fi; MERGE_CHECKED }

/* A store that is in version 2 has such a merge in it. */
#define FOLLOW(i) d_step { COUNT(had) < Q && NAMED_V2(i) && ver[i] == 2 -> \
	had = 7; mpe = pe[i]; mtail = tail[i]; MERGE_CHECKED }

#ifdef INSTALL_ANY_VERSION
#define RIGHT_VERSION(i) true
#define KEPT(x, y) (y)
#else
#define RIGHT_VERSION(i) (ver[i] < 2)
#define KEPT(x, y) BEST(x, y)
#endif
#ifdef INSTALL_ANY_INCARNATION
#define RIGHT_STORE(i) (NEED(decided, i) != 0)
#define RENAMED(i) inc[i] = NEED(decided, i)
#else
#define RIGHT_STORE(i) NAMED_V2(i)
#define RENAMED(i) skip
#endif
#ifdef PROMISES_LEFT
#define MPE 0
#else
#define MPE mpe
#endif
#ifdef PRESENCE
#define COMMITS(i) acked = acked | tail[i]
#else
#define COMMITS(i) skip
#endif
#if defined(PIECEMEAL) || defined(IN_PLACE)
#define FILLED(i) skip
#else
#define FILLED(i) tail[i] = KEPT(tail[i], mtail)
#endif
/* Another way to install: piece by piece into a store that is sealed or new, then the switch. */
#ifdef IN_PLACE
#define QUIET(i) (ver[i] == 0 || (ver[i] == 1 && sealed[i]))
#define COMPLETE(i) (QUIET(i) && pe[i] >= mpe && tail[i] >= mtail)
#else
#define COMPLETE(i) true
#endif
#define PIECE(i) (MAY_INSTALL && RIGHT_STORE(i) && QUIET(i))
#define MERGE_PE(i) d_step { PIECE(i) && pe[i] < mpe -> pe[i] = mpe; CHECK }
#define MERGE_LOG(i) d_step { PIECE(i) && tail[i] < mtail -> tail[i] = mtail; CHECK }
#define INSTALL(i) d_step { MAY_INSTALL && RIGHT_STORE(i) && RIGHT_VERSION(i) && COMPLETE(i) -> \
	RENAMED(i); ver[i] = 2; sealed[i] = false; \
	mb[i] = 0; ab[i] = 0; av[i] = 0; \
	pe[i] = KEPT(pe[i], MPE); FILLED(i); COMMITS(i); CHECK }

/* What some mutants do besides. */
#define FILL(i) d_step { COUNT(had) >= Q && OPEN_V2(i) -> tail[i] = BEST(tail[i], mtail) }
#define REOPEN(i) d_step { IN_V1(i) && sealed[i] -> sealed[i] = false; CHECK }

#ifdef UNDECIDED
#define ACCEPTED (COUNT(had) >= 1)
#else
#define ACCEPTED (COUNT(had) >= Q)
#endif

proctype Coordinator(byte b)
{
	byte d;             /* the description it wants */
	byte had;           /* stores that answered in this phase, a mask */
	byte best;          /* greatest ballot in which a description was found accepted */
	byte mpe, mtail;    /* the merge */

	if
	:: inc[0] == 2 -> d = 1
	:: inc[1] == 2 -> d = 2
	:: inc[2] == 2 -> d = 3
#ifdef SPARE
	:: d = 4
#endif
	:: SIGNPOST -> goto finish
	fi;
	do
	EACH_SLOT(PROMISE)
	:: SIGNPOST -> goto finish
	:: d_step { COUNT(had) >= Q -> had = 0; best = 0 } -> break
	od;
	do
	EACH_SLOT(ACCEPT)
	:: SIGNPOST -> goto finish
	:: d_step { ACCEPTED -> assert(decided == 0 || decided == d); decided = d } -> break
	od;
finish:
	skip;
	d_step { d = 0; had = 0; best = 0 };
	do
	EACH_SLOT(SEAL)
	EACH_SLOT(DUMP)
	EACH_SLOT(FOLLOW)
	EACH_SLOT(INSTALL)
#ifdef IN_PLACE
	EACH_SLOT(MERGE_PE)
	EACH_SLOT(MERGE_LOG)
#endif
#ifdef PIECEMEAL
	EACH_SLOT(FILL)
#endif
#ifdef SEAL_UNDONE
	EACH_SLOT(REOPEN)
#endif
	od
}

init
{
	atomic {
		byte i;
		for (i : 0 .. 2) {
			inc[i] = 1; ver[i] = 1; pe[i] = 1; tail[i] = 1
		}
#ifdef SPARE
		inc[3] = 1;
#endif
		acked = 1; acked1 = 1; elected1 = 1;
		run Fate();
#if COORDINATORS > 0
		for (i : 1 .. COORDINATORS) {
			run Coordinator(i)
		}
#endif
#if LEADERS > 0
		for (i : 1 .. LEADERS) {
			run Leader(i + 1)
		}
#endif
		i = 0
	}
}
