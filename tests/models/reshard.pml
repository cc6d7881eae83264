/*
 * A shard is closed, and a child of it begins in another group.
 *
 * The parent has stores 0 to 2, its child stores 0 to 2 of another group. The parent's store 2 and
 * the child's store 0 are one and the same, and it copies by itself. In some scopes the child's
 * group goes to version 2 meanwhile: stores 0, 1, 3. Leaders of both write logs under epochs; a
 * process that takes no further step has crashed, and what it sent may arrive at any later moment.
 *
 * A log is a byte. Of the parent, three bits for each epoch: opening, write, closing; of the child,
 * one bit for each epoch. Of two logs that leaders can have written, the one with the greater (te,
 * ts) is then the greater number. A child's store has what it took from the parent, and its log.
 *
 * What must hold: once a child has opened, nothing more is committed in the parent; whoever opens a
 * child, or could, finds all that was; and no epoch of a child's leader is one that the parent had.
 */

#ifndef PARENTS
#define PARENTS 2
#endif
#ifndef CHILDREN
#define CHILDREN 2
#endif

#define Q 2
#define BIT(i) (1 << (i))
#define COUNT(m) (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1) + (((m) >> 3) & 1))
#define BEST(x, y) ((x) > (y) -> (x) : (y))

#define OPENING(e) BIT(3 * ((e) - 1))
#define WRITE(e) BIT(3 * (e) - 2)
#define CLOSING(e) BIT(3 * (e) - 1)
#define WRITES (WRITE(1) | WRITE(2))
#define CLOSED(m) (((m) & (CLOSING(1) | CLOSING(2))) != 0)
/* Up to the closing entry, and its epoch. */
#define UPTO(m) (((m) & CLOSING(1)) != 0 -> (m) & 7 : (m) & 63)
#define END_EPOCH(m) (((m) & CLOSING(1)) != 0 -> 1 : 2)

/* The parent: promise, log, and at its store 2 what is known to be committed. */
byte ppe[3], plog[3];
byte pcm;
bool wiped;

/* The child: promise, log, what came from the parent; which version its store is in. */
#define NONE 0
#define DRAFT 1
#define SHARD 2
#define SEALED 3
#ifdef CHANGE
#define STORES 4
#define EACH(step) :: step(0) :: step(1) :: step(2) :: step(3)
#else
#define STORES 3
#define EACH(step) :: step(0) :: step(1) :: step(2)
#endif
byte is[STORES], cpe[STORES], clog[STORES], has[STORES], ver[STORES];

/* What no process knows: for the assertions. */
byte acked;          /* what the parent has committed */
byte cacked;         /* what the child has */
bool opened;

#define NEWER(x, y) (clog[x] > clog[y] || (clog[x] == clog[y] && has[x] >= has[y]))
#define HOLDS(x) (((acked & WRITES) & ~has[x]) == 0 && (cacked & ~clog[x]) == 0)
#define FINDS(x, y) ((NEWER(x, y) && HOLDS(x)) || (!NEWER(x, y) && HOLDS(y)))
#ifdef DRAFT_GRANTS
#define GRANTS(w, i) (ver[i] == (w))
#else
#define GRANTS(w, i) (ver[i] == (w) && is[i] != DRAFT)
#endif
#define SAFE(w, x, y) (!(GRANTS(w, x) && GRANTS(w, y)) || FINDS(x, y))
#ifdef CHANGE
#define SAFE2 (SAFE(2, 0, 1) && SAFE(2, 0, 3) && SAFE(2, 1, 3))
#else
#define SAFE2 true
#endif
/* Equal logs mean equal data: whoever is no draft, and got anything, got all. */
#define WHOLE(i) (is[i] != SHARD || has[i] == 0 || ((acked & WRITES) & ~has[i]) == 0)
#define CHECK \
	assert(!opened || (WHOLE(0) && WHOLE(1) && WHOLE(2))); \
	assert(!opened || (SAFE(1, 0, 1) && SAFE(1, 0, 2) && SAFE(1, 1, 2) && SAFE2))

/* ---- a draft takes what is committed ---- */

#ifdef RIPE_AT_CURSOR
#define IS_END(m) true
#else
#define IS_END(m) CLOSED(m)
#endif
#ifdef PROMISE_NOTHING
#define PROMISED(m) 0
#else
#define PROMISED(m) END_EPOCH(m)
#endif
#define TAKE(i, m) has[i] = BEST(has[i], UPTO(m)); \
	if \
	:: IS_END(m) -> is[i] = SHARD; cpe[i] = BEST(cpe[i], PROMISED(m)) \
	:: else -> is[i] = DRAFT \
	fi
#define IS_DRAFTED(i) (ver[i] != SEALED && ver[i] != 0 && is[i] != SHARD)

/* Pages of a shard that was wiped show that it was closed, and nothing else. */
#ifdef FILLS_FROM_WIPED
#define PAGES(m) (wiped -> (m) & (CLOSING(1) | CLOSING(2)) : (m))
#define MAY_FILL true
#else
#define PAGES(m) (m)
#define MAY_FILL (!wiped)
#endif
#ifdef FILLS_UNCOMMITTED
#define SENT mine
#else
#define SENT com
#endif
#define FILL(i) d_step { SENT != 0 && MAY_FILL && IS_DRAFTED(i) && (has[i] < UPTO(SENT) || \
	is[i] == NONE) -> TAKE(i, PAGES(SENT)); CHECK }

#ifdef COPIES_TAIL
#define HERE plog[2]
#else
#define HERE pcm
#endif
#define COPY d_step { HERE != 0 && MAY_FILL && IS_DRAFTED(0) && has[0] < UPTO(HERE) -> \
	TAKE(0, PAGES(HERE)); CHECK }

/* ---- leaders of the parent ---- */

#define PREPARE(i) d_step { e > ppe[i] && !(had & BIT(i)) -> \
	ppe[i] = e; had = had | BIT(i); mine = BEST(mine, plog[i]) }

#ifdef NO_FENCE
#define TAKES(i) true
#else
#define TAKES(i) (e >= ppe[i])
#endif
#define APPEND(i) d_step { TAKES(i) && !(had & BIT(i)) -> \
	ppe[i] = BEST(ppe[i], e); plog[i] = BEST(plog[i], mine); had = had | BIT(i); \
	if \
	:: COUNT(had) == Q -> \
		assert(!opened || (mine & WRITES & ~acked) == 0); acked = acked | mine; com = mine \
	:: else \
	fi; \
	CHECK }

#ifdef WRITES_BEHIND_END
#define MAY_WRITE true
#else
#ifdef RECOVERED_END_SERVES
#define MAY_WRITE ((mine & CLOSING(e)) == 0)
#else
#define MAY_WRITE (!CLOSED(mine))
#endif
#endif

proctype Parent(byte e)
{
	byte had;   /* stores that granted, then those that stored all of it: a mask */
	byte mine;  /* the log */
	byte com;   /* of it, what is committed */

	do
	:: PREPARE(0) :: PREPARE(1) :: PREPARE(2)
	:: d_step { COUNT(had) >= Q -> mine = mine | OPENING(e); had = 0 } -> break
	od;
	do
	:: APPEND(0) :: APPEND(1) :: APPEND(2)
	:: d_step { MAY_WRITE && !(mine & WRITE(e)) -> mine = mine | WRITE(e); had = 0 }
	:: d_step { !CLOSED(mine) -> mine = mine | CLOSING(e); had = 0 }
	:: d_step { com > pcm && e >= ppe[2] -> pcm = com }
	EACH(FILL)
	:: COPY
	:: d_step { opened && CLOSED(com) && !wiped -> wiped = true }
	od
}

/* ---- leaders of the child ---- */

#ifdef ANY_VERSION
#define COUNTS(i) (is[i] == SHARD)
#else
#define COUNTS(i) (is[i] == SHARD && ver[i] == w)
#endif
#ifdef ONE_RIPE
#define ENOUGH 1
#else
#define ENOUGH Q
#endif
#define SEE(i) d_step { COUNT(ripe) < ENOUGH && COUNTS(i) -> ripe = ripe | BIT(i) }

#define ASK(i) d_step { GRANTS(w, i) && e > cpe[i] && !(had & BIT(i)) -> \
	cpe[i] = e; had = had | BIT(i); \
	if \
	:: clog[i] > mine || (clog[i] == mine && has[i] > base) -> mine = clog[i]; base = has[i] \
	:: else \
	fi; \
	assert(COUNT(had) < Q || !CLOSED(acked) || e > END_EPOCH(acked)) }

/* What is no shard yet is given all of it; what is one, what its log lacks. */
#ifdef DRAFT_IS_APPENDED_TO
#define GIVE(i) if :: is[i] == NONE -> has[i] = base :: else fi; is[i] = SHARD
#else
#define GIVE(i) if :: is[i] != SHARD -> has[i] = base; is[i] = SHARD :: else fi
#endif
#define SEND(i) d_step { ver[i] == w && e >= cpe[i] && !(had & BIT(i)) -> \
	cpe[i] = e; GIVE(i); clog[i] = BEST(clog[i], mine); had = had | BIT(i); \
	if :: COUNT(had) == Q -> opened = true; cacked = cacked | mine :: else fi; \
	CHECK }

proctype Child(byte e)
{
	byte w = 1;
	byte ripe;        /* stores that were seen to be ripe: a mask */
	byte had;         /* as above */
	byte mine, base;  /* the log, and what lies below it */

#ifdef CHANGE
	if
	:: w = 1
	:: ver[0] == 2 || ver[1] == 2 || ver[3] == 2 -> d_step { w = 2; ripe = 0 }
	fi;
#endif
	do
	EACH(SEE)
	:: COUNT(ripe) >= ENOUGH -> break
#ifdef ANY_VERSION
	:: d_step { w == 1 && (ver[0] == 2 || ver[1] == 2 || ver[3] == 2) -> w = 2 }
#endif
	od;
	do
	EACH(ASK)
	:: d_step { COUNT(had) >= Q -> mine = mine | BIT(e - 1); had = 0 } -> break
	od;
	do
	EACH(SEND)
	od
}

/* ---- the child's group goes to version 2: store 3 for store 2 ---- */

#define SEAL(i) d_step { ver[i] == 1 -> ver[i] = SEALED; CHECK }
/* Drafts are in no list. */
#ifdef DUMPS_DRAFTS
#define IS_DUMPED(i) true
#else
#define IS_DUMPED(i) (is[i] != DRAFT)
#endif
#define DUMP(i) d_step { ver[i] == SEALED && !(had & BIT(i)) -> had = had | BIT(i); \
	if \
	:: IS_DUMPED(i) -> pe = BEST(pe, cpe[i]); \
		if \
		:: clog[i] > log || (clog[i] == log && has[i] > base) -> log = clog[i]; base = has[i] \
		:: else \
		fi \
	:: else \
	fi }
#define INSTALL(i) d_step { COUNT(had) >= Q && (ver[i] == SEALED || (i) == 3) && ver[i] != 2 -> \
	ver[i] = 2; cpe[i] = BEST(cpe[i], pe); \
	if \
	:: base != 0 && (is[i] != SHARD || log > clog[i]) -> \
		is[i] = SHARD; has[i] = base; clog[i] = log \
	:: else \
	fi; \
	CHECK }

proctype Coordinator()
{
	byte had, pe, log, base;
	do
	:: SEAL(0) :: SEAL(1) :: SEAL(2)
	:: DUMP(0) :: DUMP(1) :: DUMP(2)
	:: INSTALL(0) :: INSTALL(1)
#ifdef CHANGE
	:: INSTALL(3)
#endif
	od
}

init
{
	atomic {
		byte i;
		for (i : 0 .. 2) {
			ver[i] = 1
		}
#ifdef OLD_NAME
		/* A log of that name was here: closed in epoch 1, and opened once more. */
		is[1] = SHARD; clog[1] = BIT(1); cpe[1] = 2;
#endif
		for (i : 1 .. PARENTS) {
			run Parent(i)
		}
		for (i : 1 .. CHILDREN) {
			run Child(i + 1)
		}
#ifdef CHANGE
		run Coordinator();
#endif
		i = 0
	}
}
