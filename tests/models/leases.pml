/*
 * Leases of one shard while its group goes from version 1 (stores 0, 1, 2) to version 2 (0, 1, 3).
 *
 * Process 0 leads when it begins, process 1 watches it. Time is in ticks, without end; clocks run
 * alike, so that the order of waits is at stake, not their margins. A renewal arrives in the tick
 * it was sent in: a later one gives a shorter lease. A carry may arrive at any time after.
 *
 * What must hold: never do both processes have a lease.
 */

#define TTL 2
#define WAIT TTL
#define Q 2

#define BIT(i) (1 << (i))
#define COUNT(m) (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1) + (((m) >> 3) & 1))
#define MAX(x, y) ((x) > (y) -> (x) : (y))

/* Stores. */
#define LEARNER 0
#define OPEN1 1
#define SEALED1 2
#define OPEN2 3
byte at[4];
byte he[4];        /* the grant: 1 and 2 of processes 0 and 1 in version 1, 3 and 4 in version 2 */
byte dump[3];      /* the grant as it was when the store was sealed, 0 for never sealed */
bool inherited[4]; /* the grant came over from version 1 */
bool dead[3];      /* the session of process 0 in version 1 */
bool moved[3];     /* its counter moved since process 1 looked */

/* Processes: ticks that are left, or that have passed. */
byte left1[2], left2[2];  /* of the lease in each version */
byte fresh[4];     /* of the renewal of process 0 that store i acknowledged */
byte quiet[3];     /* since process 1 saw the counter at store i stand where it stands */
byte since2[2];    /* since the process first saw a store in version 2, and 1; 0 for not yet */
byte carried[2];   /* stores to which a carry is on its way, a mask */
byte won1;         /* grants of process 1 in version 1, a mask */
byte won2[2];      /* grants in version 2, masks */

#define LEADS(p) (left1[p] > 0 || left2[p] > 0)
#define CHECK assert(!(LEADS(0) && LEADS(1)))

/* The second largest of three. */
#define SECOND(x, y, z) ((x) >= (y) -> ((y) >= (z) -> (y) : ((x) >= (z) -> (z) : (x))) : \
	((x) >= (z) -> (x) : ((y) >= (z) -> (z) : (y))))
#define LEASE1 SECOND(fresh[0], fresh[1], fresh[2])

/* ---- version 1: process 0 renews; process 1 watches, and takes over from silence ---- */

#ifdef RENEW_SEALED
#define TAKES_RENEWAL(i) (at[i] == OPEN1 || at[i] == SEALED1)
#else
#define TAKES_RENEWAL(i) (at[i] == OPEN1)
#endif
#define RENEW(i) d_step { TAKES_RENEWAL(i) && !dead[i] && (fresh[i] < TTL || !moved[i]) -> \
	fresh[i] = TTL; moved[i] = true; quiet[i] = 0; left1[0] = MAX(left1[0], LEASE1); CHECK }

#define LOOK(i) d_step { at[i] == OPEN1 && moved[i] -> moved[i] = false; quiet[i] = 0 }
#define DEAD(i) d_step { at[i] == OPEN1 && he[i] == 1 && !moved[i] && quiet[i] >= WAIT -> \
	he[i] = 2; dead[i] = true; won1 = won1 | BIT(i); CHECK }
#define HELD1(i) ((won1 & BIT(i)) != 0 && at[i] == OPEN1)

/* ---- the change ---- */

#define SEAL(i) d_step { at[i] == OPEN1 -> dump[i] = he[i]; at[i] = SEALED1 }
#define INSTALL(i, x, y) d_step { dump[x] != 0 && dump[y] != 0 && at[i] != OPEN2 -> \
	at[i] = OPEN2; inherited[i] = true; he[i] = MAX(he[i], MAX(dump[x], dump[y])) }

/* ---- version 2 ---- */

#ifdef WAIT_FROM_SEAL
#define SEEN2(i) (at[i] == OPEN2 || at[i] == SEALED1)
#else
#define SEEN2(i) (at[i] == OPEN2)
#endif
#define SEE2(p) d_step { since2[p] == 0 && (SEEN2(0) || SEEN2(1) || SEEN2(2) || SEEN2(3)) -> \
	since2[p] = 1 }

#ifdef CARRY_WITHOUT_LEASE
#define MAY_CARRY(p) true
#else
#define MAY_CARRY(p) (left1[p] > 0)
#endif
#ifdef CARRY_ANY_HOLDER
#define SAME_HOLDER(p, i) true
#else
#define SAME_HOLDER(p, i) (he[i] == (p) + 1)
#endif
#define SEND_CARRY(p, i) d_step { at[i] == OPEN2 && MAY_CARRY(p) && !(carried[p] & BIT(i)) -> \
	carried[p] = carried[p] | BIT(i) }
#define GRANT(p, i) he[i] = (p) + 3; inherited[i] = false; won2[p] = won2[p] | BIT(i)
#define CARRY(p, i) d_step { (carried[p] & BIT(i)) && inherited[i] && SAME_HOLDER(p, i) -> \
	GRANT(p, i); CHECK }

#ifdef INHERITED_IS_FREE
#define WAITED(p) true
#else
#define WAITED(p) (since2[p] > WAIT)
#endif
#define TAKE(p, i) d_step { at[i] == OPEN2 && inherited[i] && WAITED(p) -> GRANT(p, i); CHECK }

#define IN_VERSION_2(p) \
	:: SEE2(p) \
	:: SEND_CARRY(p, 0) :: SEND_CARRY(p, 1) :: SEND_CARRY(p, 3) \
	:: CARRY(p, 0) :: CARRY(p, 1) :: CARRY(p, 3) \
	:: TAKE(p, 0) :: TAKE(p, 1) :: TAKE(p, 3) \
	:: d_step { COUNT(won2[p]) >= Q && left2[p] < TTL -> left2[p] = TTL; CHECK }

/* What was watched in version 1, held against the grant in version 2. */
#define DEAD2(i, w) d_step { at[i] == OPEN2 && inherited[i] && !moved[w] && quiet[w] >= WAIT -> \
	GRANT(1, i); CHECK }

/* Renewals acknowledged in version 2 that count together with those, and the grants, of 1. */
#define MIX(i) d_step { at[i] == OPEN2 && fresh[i] < TTL -> \
	fresh[i] = TTL; left1[0] = MAX(left1[0], LEASE1); CHECK }

proctype Process0()
{
	do
	:: RENEW(0) :: RENEW(1) :: RENEW(2)
	IN_VERSION_2(0)
#ifdef MIXED_VERSIONS
	:: MIX(0) :: MIX(1)
#endif
	od
}

proctype Process1()
{
	do
	:: LOOK(0) :: LOOK(1) :: LOOK(2)
	:: DEAD(0) :: DEAD(1) :: DEAD(2)
	:: d_step { HELD1(0) + HELD1(1) + HELD1(2) >= Q && left1[1] < TTL -> left1[1] = TTL; CHECK }
	IN_VERSION_2(1)
#ifdef WATCH_ACROSS
	:: DEAD2(0, 0) :: DEAD2(1, 1) :: DEAD2(3, 2)
#endif
	od
}

proctype Coordinator()
{
	do
	:: SEAL(0) :: SEAL(1) :: SEAL(2)
	:: INSTALL(0, 0, 1) :: INSTALL(0, 0, 2) :: INSTALL(0, 1, 2)
	:: INSTALL(1, 0, 1) :: INSTALL(1, 0, 2) :: INSTALL(1, 1, 2)
	:: INSTALL(3, 0, 1) :: INSTALL(3, 0, 2) :: INSTALL(3, 1, 2)
	od
}

#define RUNS_DOWN(x) x = (x > 0 -> x - 1 : 0)
#define PASSES(i) quiet[i] = (!moved[i] && quiet[i] < WAIT -> quiet[i] + 1 : quiet[i])
#define WAITS(p) since2[p] = (since2[p] > 0 && since2[p] <= WAIT -> since2[p] + 1 : since2[p])

proctype Time()
{
	do
	:: d_step {
		true ->
		RUNS_DOWN(left1[0]); RUNS_DOWN(left1[1]); RUNS_DOWN(left2[0]); RUNS_DOWN(left2[1]);
		RUNS_DOWN(fresh[0]); RUNS_DOWN(fresh[1]); RUNS_DOWN(fresh[2]);
		PASSES(0); PASSES(1); PASSES(2); WAITS(0); WAITS(1)
	}
	od
}

init
{
	atomic {
		byte i;
		for (i : 0 .. 2) {
			at[i] = OPEN1; he[i] = 1; fresh[i] = TTL
		}
		i = 0;
		left1[0] = TTL;
		run Process0(); run Process1(); run Coordinator(); run Time()
	}
}
