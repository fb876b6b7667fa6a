package strictjson_test

import (
	"fmt"

	"flagc/runtime/strictjson"
)

func Example() {
	config, err := strictjson.Parse([]byte(`{
  "hidden_size": 4096,
  "rope_scaling": {"factor": "16"}
}`), strictjson.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	dim, err := config.Get("hidden_size").Int()
	fmt.Println(dim, err)
	_, err = config.Get("rope_scaling.factor").Float()
	fmt.Println(err)
	_, err = config.Get("rope_scaling.beta_fast").Float()
	fmt.Println(err)
	// Output:
	// 4096 <nil>
	// 3:30: rope_scaling.factor: expected a number, found a string
	// 3:19: rope_scaling.beta_fast: missing; expected a number
}
