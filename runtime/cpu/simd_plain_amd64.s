#include "textflag.h"
#include "simd_amd64.h"

// Four rows of unquantised weights with one vector. Products are summed as float32 in runs of 128 elements,
// eight to a lane of Z4..Z7, and the runs as float64: lower lanes in Z0..Z3, upper in Z8..Z11.

#define CLEARUPPER \
	VPXORD Z8, Z8, Z8    \
	VPXORD Z9, Z9, Z9    \
	VPXORD Z10, Z10, Z10 \
	VPXORD Z11, Z11, Z11

#define CLEARRUN \
	VPXORD Z4, Z4, Z4    \
	VPXORD Z5, Z5, Z5    \
	VPXORD Z6, Z6, Z6    \
	VPXORD Z7, Z7, Z7

#define FOLD(part, lower, sum, upper) \
	VEXTRACTF64X4 $1, part, Y28  \
	VCVTPS2PD lower, Z29         \
	VCVTPS2PD Y28, Z28           \
	VADDPD Z29, sum, sum         \
	VADDPD Z28, upper, upper

#define FOLD4 \
	FOLD(Z4, Y4, Z0, Z8)   \
	FOLD(Z5, Y5, Z1, Z9)   \
	FOLD(Z6, Y6, Z2, Z10)  \
	FOLD(Z7, Y7, Z3, Z11)

// Lane sums of these to four floats.
#define SUM4WIDE(mem) \
	VADDPD Z8, Z0, Z0               \
	VADDPD Z9, Z1, Z1               \
	VADDPD Z10, Z2, Z2              \
	VADDPD Z11, Z3, Z3              \
	VUNPCKLPD Z1, Z0, Z4            \
	VUNPCKHPD Z1, Z0, Z5            \
	VADDPD Z5, Z4, Z4               \
	VUNPCKLPD Z3, Z2, Z5            \
	VUNPCKHPD Z3, Z2, Z6            \
	VADDPD Z6, Z5, Z5               \
	VSHUFF64X2 $0x44, Z5, Z4, Z6    \
	VSHUFF64X2 $0xEE, Z5, Z4, Z7    \
	VADDPD Z7, Z6, Z6               \
	VSHUFF64X2 $0x88, Z6, Z6, Z4    \
	VSHUFF64X2 $0xDD, Z6, Z6, Z5    \
	VADDPD Z5, Z4, Z4               \
	VCVTPD2PSY Y4, X0               \
	VMOVUPS X0, mem

#define PREFETCH4AT(off) \
	PREFETCHT0 off(R8)(R12*1)   \
	PREFETCHT0 off(R9)(R12*1)   \
	PREFETCHT0 off(R10)(R12*1)  \
	PREFETCHT0 off(R11)(R12*1)

// Sixteen elements of four rows from offset off against those of x (from xo).
#define F32STEP4(off) \
	VMOVUPS off(SI), Z16           \
	VFMADD231PS off(R8), Z16, Z4   \
	VFMADD231PS off(R9), Z16, Z5   \
	VFMADD231PS off(R10), Z16, Z6  \
	VFMADD231PS off(R11), Z16, Z7

#define BF16WIDEN4(off) \
	VPMOVZXWD off(R8), Z20   \
	VPMOVZXWD off(R9), Z21   \
	VPMOVZXWD off(R10), Z22  \
	VPMOVZXWD off(R11), Z23  \
	VPSLLD $16, Z20, Z20     \
	VPSLLD $16, Z21, Z21     \
	VPSLLD $16, Z22, Z22     \
	VPSLLD $16, Z23, Z23

#define BF16STEP4(off, xo) \
	VMOVUPS xo(SI), Z16         \
	BF16WIDEN4(off)             \
	VFMADD231PS Z20, Z16, Z4    \
	VFMADD231PS Z21, Z16, Z5    \
	VFMADD231PS Z22, Z16, Z6    \
	VFMADD231PS Z23, Z16, Z7

// func rows4F32AVX512(out *float32, w *byte, stride, ahead int, x *float32, steps int)
TEXT ·rows4F32AVX512(SB), NOSPLIT, $0-48
	ROWS4
	CLEARUPPER
	SUBQ $8, CX
	JL   f32tail
f32loop:
	CLEARRUN
	PREFETCH4AT(0)
	F32STEP4(0)
	PREFETCH4AT(64)
	F32STEP4(64)
	PREFETCH4AT(128)
	F32STEP4(128)
	PREFETCH4AT(192)
	F32STEP4(192)
	PREFETCH4AT(256)
	F32STEP4(256)
	PREFETCH4AT(320)
	F32STEP4(320)
	PREFETCH4AT(384)
	F32STEP4(384)
	PREFETCH4AT(448)
	F32STEP4(448)
	FOLD4
	NEXT4(512)
	ADDQ $512, SI
	SUBQ $8, CX
	JGE  f32loop
f32tail:
	ADDQ $8, CX
	JZ   f32done
	CLEARRUN
f32one:
	F32STEP4(0)
	NEXT4(64)
	ADDQ $64, SI
	DECQ CX
	JNZ  f32one
	FOLD4
f32done:
	SUM4WIDE((DI))
	VZEROUPPER
	RET

// func rows4BF16AVX512(out *float32, w *byte, stride, ahead int, x *float32, steps int)
TEXT ·rows4BF16AVX512(SB), NOSPLIT, $0-48
	ROWS4
	CLEARUPPER
	SUBQ $8, CX
	JL   bf16tail
bf16loop:
	CLEARRUN
	PREFETCH4AT(0)
	BF16STEP4(0, 0)
	BF16STEP4(32, 64)
	PREFETCH4AT(64)
	BF16STEP4(64, 128)
	BF16STEP4(96, 192)
	PREFETCH4AT(128)
	BF16STEP4(128, 256)
	BF16STEP4(160, 320)
	PREFETCH4AT(192)
	BF16STEP4(192, 384)
	BF16STEP4(224, 448)
	FOLD4
	NEXT4(256)
	ADDQ $512, SI
	SUBQ $8, CX
	JGE  bf16loop
bf16tail:
	ADDQ $8, CX
	JZ   bf16done
	CLEARRUN
bf16one:
	BF16STEP4(0, 0)
	NEXT4(32)
	ADDQ $64, SI
	DECQ CX
	JNZ  bf16one
	FOLD4
bf16done:
	SUM4WIDE((DI))
	VZEROUPPER
	RET
